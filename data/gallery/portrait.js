"use strict";
// Portraits: a tile in the grid of all of them, and one of them large, in a dialog.

function portraitTile(portrait, box) {
  const person = gallery.people[gallery.owner[portrait]], split = gallery.word("split", portrait), name = person.name ?? person.id;
  const told = split ? [gallery.word("field", portrait) ?? "generic", split] : [gallery.word("state", portrait)];
  return [
    element("div", {class: "picture", style: {height: `${box}px`}}, thumbnail("portraits", gallery.picture(portrait), box, `Portrait of ${name}`)),
    element("strong", {text: name}),
    element("span", {class: split ? "soft" : "badge", text: told.map(plain).join(" · ")}),
  ];
}

const viewer = {
  list: [], place: 0,

  /** Show one of a list of portraits; closed() is called with the place where the person left. */
  open(list, place, closed) {
    Object.assign(this, {list, place, closed});
    const dialog = at("portrait");
    if (!dialog.open) dialog.showModal();
    return this.draw();
  },

  async draw() {
    const portrait = this.list[this.place], person = gallery.people[gallery.owner[portrait]], row = portrait - person.first;
    const about = await gallery.details(person);
    if (portrait !== this.list[this.place]) return;  // the person went on meanwhile
    const [width, height] = about.size[row] ?? [], similarity = gallery.similarity(portrait);
    const caption = about.caption[row] === null ? null : about.captions[about.caption[row]];
    const box = Math.min(420, innerWidth - 64, Math.max(gallery.side, innerHeight * .45));
    const step = (by, text, key) => element("button", {type: "button", onclick: () => this.step(by), text, "aria-keyshortcuts": key,
      disabled: !(this.place + by in this.list)});
    at("portrait").replaceChildren(
      element("div", {class: "bar"},
        step(-1, "← Previous", "ArrowLeft"), step(1, "Next →", "ArrowRight"),
        element("span", {class: "soft", text: `${number(this.place + 1)} of ${number(this.list.length)}`}),
        element("button", {type: "button", text: "Close", onclick: () => at("portrait").close(), "aria-keyshortcuts": "Escape"})),
      element("div", {class: "large"},
        element("div", {class: "picture"}, thumbnail("portraits", gallery.picture(portrait), box, `Portrait of ${person.name ?? person.id}`)),
        element("div", {},
          element("h2", {id: "portrait-name"}, element("a", {href: `#person/${encodeURIComponent(person.id)}`,
            text: person.name ?? person.id, onclick: () => at("portrait").close()})),
          caption ? element("blockquote", {text: caption[2]}) : null,
          facts([
            ["File", about.files[row]], ["State", gallery.word("state", portrait)], ["Detail", about.detail[row]],
            ["Attribute", caption && plain(caption[0] ?? "none")], ["Caption style", caption && plain(caption[1])],
            ["Split", caption && plain(gallery.word("split", portrait))],
            ["Split, published scheme", about.published[row] && plain(about.published[row])],
            ["Similarity to the identity", similarity === null ? null : similarity.toFixed(4)],
            ["Without personal data", about.generic[row]], ["Pixels", width ? `${width} × ${height}` : null],
          ]))));
  },

  async step(by) {
    if (!(this.place + by in this.list)) return;
    this.place += by;
    await this.draw();
    const buttons = at("portrait").querySelectorAll(".bar button"), button = buttons[by < 0 ? 0 : 1];
    (button.disabled ? buttons[by < 0 ? 1 : 0] : button).focus();
  },
};

at("portrait").addEventListener("keydown", event => {
  const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (by && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); viewer.step(by); }
});
at("portrait").addEventListener("click", event => { if (event.target === at("portrait")) at("portrait").close(); });
at("portrait").addEventListener("close", () => viewer.closed?.(viewer.place));
