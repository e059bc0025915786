// Starts the page, and shows what the state asks for: search, view, open photo.

import { startActions } from "./actions.js";
import { events, get } from "./api.js";
import { counted, rowHeight, startBar, updateBar, updateCount } from "./bar.js";
import { updateChips } from "./chips.js";
import { button, byId, replace } from "./dom.js";
import { choosePicture, startDrop } from "./drop.js";
import { facetsOpen, startFacets, toggleFacets, updateFacets } from "./facets.js";
import { Grid } from "./grid.js";
import { showHelp } from "./help.js";
import { startKeys } from "./keys.js";
import { emptyLibrary, showLibrary } from "./librarydialog.js";
import { closeLightbox, lightboxOpen, openLightbox } from "./lightbox.js";
import { words } from "./querytext.js";
import { Results } from "./results.js";
import { running, startRuns } from "./run.js";
import { saveSearch, showSaved } from "./saved.js";
import { announce, attempt, banner, message, showNotes, toast } from "./say.js";
import { showQuery, startSearchBox } from "./searchbox.js";
import { selection } from "./selection.js";
import { has, library, readOnly, refreshStatus } from "./server.js";
import { changes, go, isEmpty, keepPlace, place, searchKey, state } from "./state.js";
import { themeButton } from "./themeswitch.js";
import { startTimeline, timelineOpen, toggleTimeline, updateTimeline } from "./timeline.js";
import { tagging } from "./tagging.js";
import { showView } from "./views.js";
import { plural } from "./words.js";

const KEPT = 6; // lists that going back finds as they were
const SELECTED = 10_000; // photos that "all" selects at most

const grid = new Grid(byId("grid"));
const lists = new Map(); // key of a search -> its results
let results = null;

// 1) the list that the state asks for

function showResults(wanted = null) {
  const key = searchKey(state());
  let list = lists.get(key);
  lists.delete(key);
  if (!list || list.failed || list.unreachable.length) {
    list = new Results(state());
    listen(list);
  }
  lists.set(key, list);
  for (const [old, one] of lists) {
    if (lists.size <= KEPT) break;
    one.close();
    lists.delete(old);
  }
  if (results && results !== list && results.loading && !results.hits.length) forget(results);
  results = list;
  message(null);
  grid.show(list, rowHeight());
  if (list.started) shown(list);
  else {
    byId("loading").hidden = false;
    updateCount(null);
    showNotes([]);
  }
  (wanted ? list.upTo(wanted.count) : list.started ? Promise.resolve() : list.more()).then(() => {
    if (results !== list) return;
    scrollTo(0, wanted?.top ?? 0);
    grid.drawNow();
    openFromState();
  });
}

function listen(list) {
  list.addEventListener("more", () => results === list && (grid.extend(), shown(list)));
  list.addEventListener("problem", ({ detail }) => results === list && problem(list, detail));
  list.addEventListener("stale", () => results === list && libraryChanged());
}

function shown(list) {
  byId("loading").hidden = list.done;
  showNotes(list.notes);
  updateCount(list);
  if (list.hits.length <= 120 || list.done) announce(said(list));
  if (list.hits.length) message(null);
  else if (isEmpty(state()) && library()?.photos === 0) {
    showNotes([]); // they say the same
    emptyLibrary();
  } else if (list.done) nothing(list);
}

function said(list) {
  const notes = list.notes.map((note) => note.message).join(" ");
  return `${counted(list) || plural(0, "photo")}. ${notes}`;
}

function nothing(list) {
  if (list.unreachable.length) {
    message("No photos found so far", ["A part of the library did not answer, so there may be some."], again(list));
    return;
  }
  const lower = state().min ? ["Photos below the relevance you chose are hidden."] : [];
  const action = state().min ? [button({ text: "Show all", class: "main" }, () => go({ min: 0 }))] : [];
  message("No photos found", [...lower, "Try other words, or fewer conditions. Press ? for what a query can be."], ...action);
}

function problem(list, error) {
  byId("loading").hidden = true;
  if (error.status === 401) return;
  if (list.hits.length) toast(error.message, { error: true, action: { text: "Try again", run: () => list.more() } });
  else {
    updateCount(null);
    announce(error.message);
    message(error.status === 400 || error.status === 422 ? "This query is not understood" : "That did not work", [error.message], again(list));
  }
}

const again = (list) => button({ text: "Try again", class: "main" }, () => (forget(list), showResults()));

function forget(list) {
  list.close();
  for (const [key, one] of lists) if (one === list) lists.delete(key);
}

/** While the first photos are read: shows those that are there by now. */
function showFirst() {
  if (results?.done && !results.hits.length && isEmpty(state())) attempt(refreshStatus).then(libraryChanged);
}

/** The library has other photos than when the lists were made: they are begun anew, at the same place. */
function libraryChanged() {
  announce("The library changed; the photos are shown anew.");
  showAnew();
  updateTimeline(true);
}

function showAnew() {
  const wanted = here();
  for (const list of lists.values()) list.close();
  lists.clear();
  if (state().view === "photos") showResults(wanted);
  updateFacets(true);
}

/** Tags were given or taken: other lists are begun anew, and so is this one unless a photo of it is open. */
function tagsChanged() {
  if (!lightboxOpen()) return showAnew();
  for (const [key, list] of lists) if (list !== results) list.close(), lists.delete(key);
  return updateFacets(true);
}

// 2) the open photo

async function openFromState() {
  const id = state().photo;
  if (!id || lightboxOpen() || state().view !== "photos") return;
  const at = results?.indexOf(id) ?? -1;
  if (at >= 0) return openAt(results, at);
  const found = await attempt(() => get(`photos/${id}`));
  if (found && state().photo === id) openLightbox({ hits: [found] }, 0, { text: askedWords });
  else if (!found) go({ photo: 0 }, { replace: true });
  return undefined;
}

const askedWords = () => words(state().q);

function openAt(list, index) {
  const scrolled = scrollY;
  openLightbox(list, index, {
    text: askedWords,
    tileOf: (at) => (results === list ? grid.element(at)?.querySelector("img") : null),
    onClosed: (last) => {
      if (results !== list) return;
      if (last === index) {
        scrollTo(0, scrolled);
        grid.element(last)?.querySelector("a").focus({ preventScroll: true });
      } else grid.focus(last);
    },
  });
}

/** Photos of the map or of duplicates, which stand in no list. */
function openPhotos(hits, index = 0) {
  const before = document.activeElement;
  openLightbox({ hits }, index, { text: askedWords, onClosed: () => before?.focus({ preventScroll: true }) });
}

// 3) changes

function show({ before, now, moved }) {
  if (!now.photo && lightboxOpen()) closeLightbox();
  if (searchKey(before) !== searchKey(now) || before.view !== now.view || before.level !== now.level) {
    const other = now.view !== "photos";
    byId("gallery").hidden = other;
    byId("timeline").classList.toggle("away", other);
    if (other) message(null), showNotes([]), updateCount(null);
    else showResults(moved ? place() : null);
    showView(now, openPhotos);
  } else if (now.photo && !lightboxOpen()) openFromState();
  showQuery();
  chrome();
}

function chrome() {
  const now = state();
  updateBar(readOnly());
  updateChips();
  updateFacets();
  if (now.view === "photos") updateTimeline();
  byId("facets").classList.toggle("away", now.view === "duplicates" || now.view === "clusters");
  for (const one of byId("views").children) {
    if (one.dataset.view === now.view) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
    one.hidden = one.dataset.view === "map" && Boolean(library()) && !has("places");
  }
  document.title = now.q ? `${now.q} – mmsearch` : "mmsearch";
}

const here = () => ({ top: scrollY, count: results?.hits.length ?? 0 });

async function selectAll() {
  if (!results || state().view !== "photos") return;
  await results.upTo(SELECTED);
  selection.add(results.hits.slice(0, SELECTED).map((hit) => hit.id));
  announce(`${plural(selection.size, "photo")} selected`);
}

// 4) the start

function buildHead() {
  const view = (name, icon, text) => {
    const made = button({ icon, text, class: "tool text view" }, () => go({ view: name, photo: 0 }));
    made.dataset.view = name;
    return made;
  };
  replace(byId("views"), view("photos", "grid", "Photos"), view("map", "map", "Map"), view("clusters", "clusters", "Clusters"), view("duplicates", "copies", "Duplicates"));
  replace(
    byId("tools"),
    button({ icon: "picture", label: "Search by a picture", class: "tool", id: "choose" }, choosePicture),
    button({ icon: "star", label: "Saved searches", class: "tool", id: "saved" }, showSaved),
    button({ icon: "folder", label: "Library", class: "tool", id: "library" }, () => attempt(() => refreshStatus().then(showLibrary))),
    themeButton(),
    button({ icon: "help", label: "Help (?)", class: "tool", id: "help" }, showHelp),
  );
  document.querySelector(".brand").addEventListener("click", (event) => {
    event.preventDefault();
    go({ q: "", sort: "", min: 0, like: [], unlike: [], picture: "", view: "photos", photo: 0 });
  });
}

async function start() {
  buildHead();
  startFacets();
  startTimeline();
  startBar({
    onRows: (height) => grid.setRowHeight(height),
    onFacets: toggleFacets,
    onTimeline: toggleTimeline,
    onAll: () => attempt(selectAll),
    onSave: () => attempt(saveSearch),
  });
  byId("filter-switch").setAttribute("aria-pressed", String(facetsOpen()));
  byId("timeline-switch").setAttribute("aria-pressed", String(timelineOpen()));
  startSearchBox();
  startDrop();
  startActions((id) => results?.hits[results.indexOf(id)]?.path);
  startKeys({ grid, selectAll: () => attempt(selectAll) });
  tagging.addEventListener("change", tagsChanged);
  grid.addEventListener("open", ({ detail }) => go({ photo: results.hits[detail].id }));
  let kept = 0;
  changes.addEventListener("change", ({ detail }) => {
    clearTimeout(kept); // it is another entry of the history now
    show(detail);
  });
  addEventListener("scroll", () => {
    clearTimeout(kept);
    kept = setTimeout(() => keepPlace(here()), 150);
  }, { passive: true });
  events.addEventListener("unauthorized", () => banner("This session has ended. Open the address again that mmsearch serve printed when it started."));
  let away = false;
  events.addEventListener("offline", () => {
    away = true;
    banner("The server does not answer. Is mmsearch serve still running?", { text: "Try again", run: () => location.reload() });
  });
  events.addEventListener("online", () => away && ((away = false), banner(null)));

  await attempt(refreshStatus);
  startRuns({ running: library()?.indexing.running, onProgress: showFirst, onEnd: () => attempt(refreshStatus).then(libraryChanged) });
  const now = state();
  show({ before: { ...now, view: "" }, now, moved: true });
  if (!matchMedia("(pointer: coarse)").matches && !now.photo) byId("box").focus();
}

start();
