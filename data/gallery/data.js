"use strict";
// The data: scripts that call gallery.receive(name, content), since a page on a disk may not fetch files.
const NONE = 65535;  // where a number is missing

const gallery = {
  contents: new Map(),
  asked: new Map(),

  receive(name, content) {
    this.contents.set(name, content);
  },

  /** The content of data/<name>.js, read once. */
  load(name) {
    if (!this.asked.has(name))
      this.asked.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = `data/${name}.js`;
        script.onload = () => resolve(this.contents.get(name));
        script.onerror = () => reject(new Error(`data/${name}.js cannot be read; build the gallery again`));
        document.head.append(script);
      }));
    return this.asked.get(name);
  },

  /** Index and columns, once their scripts are there. A portrait is its number, from 0. */
  open() {
    Object.assign(this, this.contents.get("index"));
    this.columns16 = {};
    for (const [name, text] of Object.entries(this.contents.get("portraits"))) {
      const bytes = Uint8Array.from(atob(text), sign => sign.charCodeAt(0)), view = new DataView(bytes.buffer);
      this.columns16[name] = Uint16Array.from({length: bytes.length / 2}, (_, place) => view.getUint16(2 * place, true));
    }
    this.contents.clear();
    this.owner = new Uint32Array(this.counts.portraits);  // the place in `people`
    this.people.forEach((person, place) => this.owner.fill(place, person.first, person.first + person.portraits));
    this.missing = new Set(this.without);
    this.byId = new Map(this.people.map((person, place) => [person.id, place]));
    this.folded = this.people.map(person => fold([person.name, person.id, ...person.values.map(value => value[1])].join(" ")));
  },

  chunk(person) {
    return this.load(`people-${String(person.chunk).padStart(5, "0")}`);
  },

  /** An identity's captions and the columns of its portraits. */
  async details(person) {
    return (await this.chunk(person)).find(one => one.id === person.id);
  },

  /** The word of a column (split, field, style, state) for a portrait, or null. */
  word(column, portrait) {
    const code = this.columns16[column][portrait];
    return code === NONE ? null : this.words[column][code];
  },

  similarity(portrait) {
    const code = this.columns16.similarity[portrait];
    return code === NONE ? null : code / 10000 - 1;
  },

  /** The number of a portrait's picture, or null. */
  picture(portrait) {
    return this.missing.has(portrait) ? null : portrait;
  },

  country(code) {
    return code ? this.countries[code] ?? code : null;
  },
};

/** Lower case, without accents. */
function fold(text) {
  return (text ?? "").normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

/** Does each word stand in one of the folded texts? */
function found(words, texts) {
  return words.every(word => texts.some(text => text.includes(word)));
}

/** The portraits among `candidates` (in order) that have all words in name, id, value, caption, file name or detail;
 * told in parts, as the chunks come in: tell(portraits so far, share of the chunks read). Stops when told() is false. */
async function searchPortraits(candidates, words, tell) {
  const results = [];
  let at = 0, last = performance.now();
  while (at < candidates.length) {
    const person = gallery.people[gallery.owner[candidates[at]]], end = person.first + person.portraits;
    const own = gallery.folded[gallery.owner[candidates[at]]];
    if (!found(words, [own])) {
      const about = await gallery.details(person);
      about.folded ??= about.captions.map(caption => fold(caption[2]));
      about.others ??= about.files.map((file, row) => fold([file, about.generic[row], about.detail[row]].join(" ")));
      for (; at < candidates.length && candidates[at] < end; at++) {
        const row = candidates[at] - person.first, caption = about.caption[row];
        const texts = [own, about.others[row], caption === null ? "" : about.folded[caption]];
        if (found(words, texts)) results.push(candidates[at]);
      }
    } else for (; at < candidates.length && candidates[at] < end; at++) results.push(candidates[at]);
    if (performance.now() - last > 100) {
      if (!tell(results, at / candidates.length)) return;
      await new Promise(resolve => setTimeout(resolve));
      last = performance.now();
    }
  }
  tell(results, 1);
}
