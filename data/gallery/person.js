"use strict";
// One identity: what it is, its values with why they belong to nobody, its captions, its portraits.

/** A tile of the grid of identities. `item`: place and number of portraits that fit. */
function personTile([place, count], box) {
  const person = gallery.people[place], cover = person.cover, name = person.name ?? person.id;
  const what = [gallery.country(person.country_code), plain(person.role)].filter(Boolean).join(" · ");
  return [
    element("div", {class: "picture", style: {height: `${box}px`}}, thumbnail("covers", cover, box, `Face of ${name}`)),
    element("strong", {text: name, title: name}),
    element("span", {class: "soft", text: what, title: what}),
    element("span", {class: "soft", text: count < person.portraits ? `${number(count)} of ${number(person.portraits)} portraits`
      : `${number(count)} portraits${person.kept < count ? `, ${number(person.kept)} kept` : ""}`}),
  ];
}

/** Fill the view with an identity and its details; gives the grid of its portraits. */
function personView(view, person, about, open) {
  const name = person.name ?? person.id, dropped = person.portraits - person.kept;
  const head = element("div", {class: "person"},
    element("div", {class: "picture"}, thumbnail("covers", person.cover, 160, `Face of ${name}`)),
    element("div", {},
      element("h2", {id: "person-name", tabindex: "-1", text: name}),
      facts([
        ["Identity", person.id], ["Kind", plain(person.role)], ["Country", gallery.country(person.country_code)],
        ["Gender", person.gender], ["Age", person.age === null ? person.age_group : `${person.age} (${person.age_group})`],
        ["Region", person.region], ["In the dataset", number(person.kept)], ["Kept back or dropped", dropped ? number(dropped) : null],
      ])));
  const persona = person.values.length ? [element("h3", {text: "Persona"}),
    table("Values, and why they belong to nobody", ["Attribute", "Value", "Proof level", "Rule", "Source"],
      person.values.map(([field, value, ...why]) => [plain(field), ...[value, ...why].map(text => element("span", {class: "wrap", text: text || "–"}))]))] : [];
  const grid = new Tiles("person", `Portraits of ${name}`, (portrait, box) => portraitOfPerson(person, about, portrait, box), open);
  view.replaceChildren(head, ...persona, ...captionsOf(about), element("h3", {text: "Portraits"}), grid.grid);
  grid.show(Array.from({length: person.portraits}, (_, row) => person.first + row));
  return grid;
}

function portraitOfPerson(person, about, portrait, box) {
  const row = portrait - person.first, caption = about.caption[row], split = gallery.word("split", portrait);
  const similarity = gallery.similarity(portrait), state = gallery.word("state", portrait);
  return [
    element("div", {class: "picture", style: {height: `${box}px`}}, thumbnail("portraits", gallery.picture(portrait), box, about.files[row])),
    split ? null : element("span", {class: "badge", text: plain(state)}),
    element("span", {class: "lines", text: caption === null ? about.detail[row] : about.captions[caption][2]}),
    element("span", {class: "soft", text: [split && plain(split), similarity === null ? null : `similarity ${similarity.toFixed(3)}`].filter(Boolean).join(" · ")}),
  ].filter(Boolean);
}

/** The captions of an identity, a part for each attribute; how many of its portraits have each. */
function captionsOf(about) {
  const uses = new Uint32Array(about.captions.length), fields = new Map();
  for (const caption of about.caption) if (caption !== null) uses[caption]++;
  about.captions.forEach(([field, style, text], place) => {
    if (text === null) return;
    const key = field ?? "without personal data";
    if (!fields.has(key)) fields.set(key, []);
    fields.get(key).push([style, text, uses[place]]);
  });
  if (!fields.size) return [];
  const parts = [...fields].map(([field, rows]) => element("details", {},
    element("summary", {text: `${plain(field)} (${number(rows.length)})`}),
    table(`Captions: ${plain(field)}`, ["Style", "Caption", "Portraits"],
      rows.map(([style, text, count]) => [plain(style), element("span", {class: "wrap", text}), count]))));
  return [element("h3", {text: "Captions"}), ...parts];
}
