"use strict";
// Search, filters and order: what is chosen, and which identities and portraits fit.
const FACETS = {  // of identities, then of portraits
  role: "Kind", country_code: "Country", gender: "Gender", age_group: "Age group",
  split: "Split", field: "Attribute", style: "Caption style", state: "Kept, or why dropped",
};
const OF_PORTRAITS = ["split", "field", "style", "state"];
const ORDERS = {
  people: {"": "kind and id", name: "name", most: "most portraits first", fewest: "fewest portraits first"},
  portraits: {"": "identity", least: "least like the identity first", most: "most like the identity first"},
};

const filters = {
  /** The controls, once the data is there. changed() is called when a choice changes. */
  make(changed) {
    for (const [name, title] of Object.entries(FACETS)) {
      const select = element("select", {id: `by-${name}`, onchange: changed});
      select.append(new Option("any", ""));
      for (const [word, count, shown] of this.options(name)) select.append(new Option(`${shown} (${number(count)})`, word));
      if (select.options.length > 1) at("facets").append(element("label", {}, title, select));
    }
    at("facets").append(element("label", {}, "Order", element("select", {id: "by-order", onchange: changed})));
    at("facets").append(element("button", {type: "button", id: "clear", text: "Clear all", onclick: () => this.choose({}, changed)}));
    let timer;
    at("query").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(changed, 150); });
  },

  /** Word, count and what is shown, of a facet: portraits by their columns, identities by what they are. */
  options(name) {
    if (OF_PORTRAITS.includes(name)) {
      const counts = new Uint32Array(gallery.words[name].length);
      for (const code of gallery.columns16[name]) if (code !== NONE) counts[code]++;
      return gallery.words[name].map((word, code) => [word, counts[code], plain(word)]);
    }
    const counts = new Map();
    for (const {[name]: word} of gallery.people) if (word) counts.set(word, (counts.get(word) ?? 0) + 1);
    const shown = word => name === "country_code" ? gallery.country(word) : plain(word);
    return [...counts].map(([word, count]) => [word, count, shown(word)]).sort((a, b) => a[2].localeCompare(b[2]));
  },

  /** The choices that are made, as {facet: word, q: query, order: order}. */
  chosen() {
    const choice = {};
    for (const name of [...Object.keys(FACETS), "order"]) if (at(`by-${name}`)?.value) choice[name] = at(`by-${name}`).value;
    if (at("query").value.trim()) choice.q = at("query").value.trim();
    return choice;
  },

  choose(choice, changed) {
    for (const name of [...Object.keys(FACETS), "order"]) if (at(`by-${name}`)) at(`by-${name}`).value = choice[name] ?? "";
    if (at("query") !== document.activeElement || !choice.q) at("query").value = choice.q ?? "";
    changed?.();
  },

  /** The orders of a view, and how many filters are set. */
  refresh(view) {
    const order = at("by-order"), before = order.value;
    order.replaceChildren(...Object.entries(ORDERS[view] ?? ORDERS.people).map(([value, text]) => new Option(text, value)));
    order.value = [...order.options].some(option => option.value === before) ? before : "";
    const set = Object.keys(FACETS).filter(name => at(`by-${name}`)?.value).length;
    at("set").textContent = set ? `(${set})` : "";
  },

  words() {
    return fold(at("query").value).split(/\s+/).filter(Boolean);
  },

  /** Which identities fit by what they are: one flag each. */
  flags(choice) {
    const names = Object.keys(choice).filter(name => name in FACETS && !OF_PORTRAITS.includes(name));
    return gallery.people.map(person => names.every(name => person[name] === choice[name]));
  },

  /** The portraits that fit, but for the words of the query. */
  portraits(choice) {
    const flags = this.flags(choice), columns = OF_PORTRAITS.filter(name => name in choice);
    const wanted = columns.map(name => [gallery.columns16[name], gallery.words[name].indexOf(choice[name])]);
    const fitting = [];
    for (let portrait = 0; portrait < gallery.owner.length; portrait++)
      if (flags[gallery.owner[portrait]] && wanted.every(([codes, code]) => codes[portrait] === code)) fitting.push(portrait);
    return fitting;
  },

  /** The identities that fit, as [place, number of portraits that fit]. */
  people(choice) {
    const counts = new Uint32Array(gallery.people.length), words = this.words();
    for (const portrait of this.portraits(choice)) counts[gallery.owner[portrait]]++;
    const fitting = gallery.people.map((_, place) => [place, counts[place]])
      .filter(([place, count]) => count && found(words, [gallery.folded[place]]));
    const by = {
      name: (a, b) => (gallery.people[a[0]].name ?? "~").localeCompare(gallery.people[b[0]].name ?? "~"),
      most: (a, b) => b[1] - a[1],
      fewest: (a, b) => a[1] - b[1],
    }[choice.order];
    return by ? fitting.sort(by) : fitting;
  },

  /** Portraits in the chosen order; those that were not measured last. */
  ordered(portraits, order) {
    const codes = gallery.columns16.similarity, sign = order === "most" ? -1 : 1;
    const missing = portrait => codes[portrait] === NONE;
    return order ? [...portraits].sort((a, b) => missing(a) - missing(b) || sign * (codes[a] - codes[b]) || a - b) : portraits;
  },
};
