// Reads and changes the text of a query: its pieces, and conditions that are added, joined, turned round or taken out.

const PIECE = /(?:"(?:[^"]|"")*"?|[^\s"])+/g; // a run without spaces; what stands in quotes may have some
const FIELD = /^([+-]?)([a-z]+):(.+)$/i;

export const pieces = (query) => query.match(PIECE) ?? [];

/** A condition's sign, field and values, or null where a piece is words. */
export function condition(piece, fields) {
  const match = FIELD.exec(piece);
  if (!match || !fields.has(match[2].toLowerCase())) return null;
  return { sign: match[1] === "-" ? "-" : "", field: match[2].toLowerCase(), values: split(match[3]) };
}

/** Values between commas, those in quotes whole. */
function split(text) {
  return text.match(/(?:"(?:[^"]|"")*"?|[^,"])+/g) ?? [];
}

export const FIELDS = new Set(
  ("date taken camera lens city person album cluster label in type width height megapixels size rating iso aperture exposure " +
    "focal length fps codec at orientation has tag near mp bytes sort").split(" "),
);

/** Fields of which a photo has one value: several are alternatives, joined by commas. Of others all must hold. */
const ALTERNATIVES = new Set(["date", "taken", "camera", "lens", "city", "album", "label", "in", "type", "codec", "orientation"]);

/** The query without conditions: what is looked for by its meaning. */
export function words(query) {
  return pieces(query)
    .filter((piece) => !condition(piece, FIELDS))
    .join(" ");
}

/** The conditions of a query as pieces, as the page shows them below the box. */
export const conditions = (query) => pieces(query).filter((piece) => condition(piece, FIELDS));

/** "wanted", "excluded" or "" : how a query uses a piece such as `date:2024`. */
export function use(query, piece) {
  const wanted = condition(piece, FIELDS);
  if (!wanted) return "";
  for (const one of pieces(query)) {
    const found = condition(one, FIELDS);
    if (found && found.field === wanted.field && wanted.values.every((value) => found.values.some(same(value))))
      return found.sign === "-" ? "excluded" : "wanted";
  }
  return "";
}

const bare = (value) => value.replace(/^"(.*)"$/, "$1").replaceAll('""', '"').toLowerCase();
const same = (value) => (other) => bare(value) === bare(other);

/** The query with a piece wanted ("wanted"), left out ("excluded") or not mentioned (""). */
export function withUse(query, piece, how) {
  const wanted = condition(piece, FIELDS);
  const kept = pieces(query).flatMap((one) => {
    const found = condition(one, FIELDS);
    if (!found || found.field !== wanted.field) return [one];
    const values = found.values.filter((value) => !wanted.values.some(same(value)));
    return values.length ? [`${found.sign}${found.field}:${values.join(",")}`] : [];
  });
  if (how === "wanted" && ALTERNATIVES.has(wanted.field)) {
    const at = kept.findIndex((one) => {
      const found = condition(one, FIELDS);
      return found && found.field === wanted.field && !found.sign;
    });
    if (at >= 0) {
      kept[at] += `,${wanted.values.join(",")}`;
      return kept.join(" ");
    }
  }
  const plain = `${wanted.field}:${wanted.values.join(",")}`;
  if (how) kept.push(how === "excluded" ? `-${plain}` : plain);
  return kept.join(" ");
}

/** The query without every condition of a field. */
export function withoutField(query, field) {
  return pieces(query)
    .filter((piece) => condition(piece, FIELDS)?.field !== field)
    .join(" ");
}

export const withoutPiece = (query, piece) =>
  pieces(query)
    .filter((one) => one !== piece)
    .join(" ");

/** The word that the cursor is in: where it begins, and its text up to the cursor. */
export function current(query, at) {
  for (const match of query.matchAll(PIECE)) {
    const end = match.index + match[0].length;
    if (match.index <= at && at <= end) return { start: match.index, end, text: query.slice(match.index, at) };
  }
  return { start: at, end: at, text: "" };
}
