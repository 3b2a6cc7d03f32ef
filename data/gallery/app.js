"use strict";
// The views and their addresses: #people?…, #portraits?…, #captions, #dropped, #person/<id>. Keys: / and Esc.
let grid = null, address = null;
const lists = new Map();  // address of a list -> where the person was in it
let turn = 0;  // of the view that is being made: an older one that comes late is not shown

function current() {
  const [path, query] = location.hash.slice(1).split("?"), [view, id] = path.split("/");
  return {view: ["people", "portraits", "captions", "dropped", "person"].includes(view) ? view : "people",
    id: id && decodeURIComponent(id), choice: Object.fromEntries(new URLSearchParams(query ?? ""))};
}

/** The tabs of the two lists lead to what is chosen now. */
function carry() {
  const {order, ...choice} = filters.chosen(), query = new URLSearchParams(choice).toString();
  for (const view of ["people", "portraits"])
    document.querySelector(`nav [data-view="${view}"]`).href = `#${view}${query ? `?${query}` : ""}`;
}

const say = text => { at("status").textContent = text; };

/** Show what the address says. */
async function route() {
  if (address !== null && grid) lists.set(address, [grid.current, scrollY]);
  const {view, id, choice} = current(), mine = ++turn;
  address = location.hash;
  if (at("portrait").open) at("portrait").close();
  grid?.remove();
  grid = null;
  for (const tab of document.querySelectorAll("nav a")) {
    const here = tab.dataset.view === (view === "person" ? "people" : view);
    if (here) tab.setAttribute("aria-current", "page"); else tab.removeAttribute("aria-current");
  }
  const list = view === "people" || view === "portraits";
  at("controls").hidden = !list;
  if (list) { filters.refresh(view); filters.choose(choice); filters.refresh(view); carry(); }
  say("");
  try {
    if (view === "person") await openPerson(id, mine);
    else if (view === "captions") captionsView(at("view"));
    else if (view === "dropped") droppedView(at("view"));
    else await openList(view, mine);
  } catch (error) {
    say(error.message);
  }
}

async function openPerson(id, mine) {
  const place = gallery.byId.get(id);
  if (place === undefined) return at("view").replaceChildren(element("p", {text: `There is no identity ${id}.`}));
  const about = await gallery.details(gallery.people[place]);
  if (mine !== turn) return;
  grid = personView(at("view"), gallery.people[place], about, (_, at, all) => openPortrait(all, at));
  const known = lists.get(address);
  if (known) return restore(known);
  scrollTo(0, 0);
  at("person-name").focus();
}

async function openList(view, mine) {
  grid = view === "people" ? new Tiles("people", "Identities", personTile, ([place]) => { location.hash = `person/${encodeURIComponent(gallery.people[place].id)}`; })
    : new Tiles("portraits", "Portraits", portraitTile, (_, place, all) => openPortrait(all, place));
  at("view").replaceChildren(grid.grid);
  await fillList(view, mine);
  if (mine === turn) restore(lists.get(address) ?? [0, 0], lists.has(address));
}

async function fillList(view, mine) {
  const choice = filters.chosen(), shown = grid;
  at("view").setAttribute("aria-busy", "true");
  if (view === "people") {
    const people = filters.people(choice);
    shown.show(people);
    at("view").removeAttribute("aria-busy");
    say(`${number(people.length)} of ${number(gallery.people.length)} identities${choice.q ? "; captions are searched under Portraits" : ""}`);
    return;
  }
  const candidates = filters.portraits(choice), all = number(gallery.counts.portraits);
  const tell = (portraits, share) => {
    if (mine !== turn) return false;
    if (share === 1) at("view").removeAttribute("aria-busy");
    shown.show(filters.ordered(share < 1 ? portraits.slice() : portraits, choice.order));
    say(`${number(portraits.length)} of ${all} portraits${share < 1 ? `, ${Math.round(100 * share)} % searched` : ""}`);
    return true;
  };
  if (choice.q) await searchPortraits(candidates, filters.words(), tell);
  else tell(candidates, 1);
}

/** After a choice: the list anew, and its address for the history. */
async function changed() {
  const {view} = current(), query = new URLSearchParams(filters.chosen()).toString(), mine = ++turn;
  history.replaceState(null, "", `#${view}${query ? `?${query}` : ""}`);
  address = location.hash;
  filters.refresh(view);
  carry();
  if (!grid) return;
  grid.current = 0;
  try {
    await fillList(view, mine);
  } catch (error) {
    say(error.message);
  }
}

/** Go back to a place in a list. */
function restore([place, top], focus = true) {
  scrollTo(0, top);
  if (focus && place < grid.items.length) grid.focus(place);
}

function openPortrait(list, place) {
  viewer.open(list, place, last => { if (grid?.items === list) grid.focus(last); }).catch(error => say(error.message));
}

/** The key / leads to the search; Esc empties it, then leads to the tiles, and from an identity back to the list. */
addEventListener("keydown", event => {
  if (at("portrait").open || event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input, select, textarea"), list = !at("controls").hidden;
  if (event.key === "/" && !typing) {
    event.preventDefault();
    if (!list) location.hash = "portraits";
    setTimeout(() => { at("query").focus(); at("query").select(); }, list ? 0 : 50);
  } else if (event.key === "Escape" && event.target === at("query")) {
    event.preventDefault();
    if (at("query").value) { at("query").value = ""; changed(); } else if (grid?.items.length) grid.focus(grid.current);
  } else if (event.key === "Escape" && !typing && current().view === "person") {
    if (history.length > 1) history.back(); else location.hash = "people";
  } else if ((event.key === "ArrowDown" || event.key === "Enter") && event.target === at("query") && grid?.items.length) {
    event.preventDefault();
    grid.focus(0);
  }
});

at("theme").addEventListener("click", switchTheme);
at("controls").addEventListener("submit", event => event.preventDefault());
addEventListener("hashchange", route);
if (!gallery.contents.has("index") || !gallery.contents.has("portraits")) say("data/index.js or data/portraits.js cannot be read; build the gallery again");
else {
  gallery.open();
  filters.make(changed);
  at("more").open = innerWidth > 700;
  route();
}
