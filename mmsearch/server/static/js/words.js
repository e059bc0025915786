// How facts of a photo are said: names, dates, sizes, and the text that stands for a picture.

export const fileName = (path) => path.split(/[\\/]/).at(-1);
export const folderName = (path) => path.split(/[\\/]/).slice(0, -1).join("/") || "/";

const NUMBER = new Intl.NumberFormat("en");
export const number = (value) => NUMBER.format(value);
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
export const percent = (share) => `${Math.round(share * 100)} %`;

/** Clocks of cameras have no time zone that counts: what they showed is shown. */
function clock(text) {
  const match = /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d))?/.exec(text ?? "");
  if (!match) return null;
  const [year, month, day, hour = 0, minute = 0] = match.slice(1).map((part) => Number(part ?? 0));
  return new Date(Date.UTC(year, month - 1, day, hour, minute));
}

const format = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const LONG = format({ day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit" });
const MONTH = format({ month: "long", year: "numeric" });

export const date = (text) => (clock(text) ? LONG.format(clock(text)) : "");
export const month = (text) => (clock(text) ? MONTH.format(clock(text)) : "");

export function bytes(count) {
  if (!(count >= 0)) return "";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let value = count;
  while (value >= 1000 && at < units.length - 1) [value, at] = [value / 1000, at + 1];
  return `${value >= 100 || at === 0 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

/** A time in a film: 1:23, 1:02:03. */
export function filmTime(seconds) {
  const whole = Math.floor(seconds);
  const two = (value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** What is read out for a photo. */
export function alternative(hit) {
  const said = hit.caption || hit.description || (hit.tags ?? []).slice(0, 4).join(", ");
  return said ? `${said} (${fileName(hit.path)})` : fileName(hit.path);
}

export function exposure(seconds) {
  if (!(seconds > 0)) return "";
  return seconds < 0.4 ? `1/${Math.round(1 / seconds)} s` : `${Number(seconds.toFixed(1))} s`;
}
