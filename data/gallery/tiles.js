"use strict";
// A grid of tiles of which only those in sight exist, with the keys of an ARIA grid.
const TILE = {people: 160, portraits: 128, person: 190};  // pixels of a tile's width, at least
const LINES = {people: 62, portraits: 44, person: 104};  // pixels for its text

class Tiles {
  /** kind: of TILE; fill(item, box): the children of a tile whose picture is `box` pixels; open(item, place, all). */
  constructor(kind, label, fill, open) {
    Object.assign(this, {kind, fill, open, items: [], rows: new Map(), current: 0});
    this.grid = element("div", {class: `tiles-grid ${kind}`, role: "grid", "aria-label": label,
      onkeydown: event => this.key(event), onclick: event => this.click(event)});
    this.update = () => this.draw();
    this.resized = new ResizeObserver(() => this.grid.clientWidth === this.width ? this.draw() : this.layout());
    for (const watched of [this.grid, document.body]) this.resized.observe(watched);
    addEventListener("scroll", this.update, {passive: true});
  }

  remove() {
    this.resized.disconnect();
    removeEventListener("scroll", this.update);
  }

  /** Show other items; the place in them stays where it fits. */
  show(items) {
    this.items = items;
    this.current = Math.min(this.current, Math.max(items.length - 1, 0));
    this.layout();
  }

  layout() {
    const width = this.grid.clientWidth;
    if (!width) return;
    this.width = width;
    this.across = Math.max(2, Math.floor(width / TILE[this.kind]));
    this.box = Math.floor(width / this.across) - 16;
    this.height = this.box + LINES[this.kind] + 16;
    const count = Math.ceil(this.items.length / this.across);
    this.grid.style.height = `${count * this.height}px`;
    this.grid.setAttribute("aria-rowcount", count);
    this.grid.setAttribute("aria-colcount", this.across);
    const focused = this.grid.contains(document.activeElement);
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    this.draw();
    if (focused) this.focus(this.current);
  }

  draw() {
    if (!this.across || !this.grid.isConnected) return;
    const top = this.grid.getBoundingClientRect().top, count = Math.ceil(this.items.length / this.across);
    const first = Math.max(0, Math.floor(-top / this.height) - 1);
    const last = Math.min(count - 1, Math.floor((innerHeight - top) / this.height) + 1);
    const kept = Math.floor(this.current / this.across);  // the row with the focus stays
    for (const [row, made] of this.rows)
      if ((row < first || row > last) && row !== kept) { made.remove(); this.rows.delete(row); }
    for (let row = first; row <= last; row++) this.need(row);
    if (this.items.length) this.need(kept);
  }

  need(row) {
    if (this.rows.has(row)) return;
    const made = element("div", {role: "row", "aria-rowindex": row + 1});
    made.style.top = `${row * this.height}px`;
    for (let place = row * this.across; place < Math.min((row + 1) * this.across, this.items.length); place++) {
      const tile = element("div", {class: "tile", role: "gridcell", "aria-colindex": place % this.across + 1,
        tabindex: place === this.current ? "0" : "-1", "data-place": place}, ...this.fill(this.items[place], this.box));
      Object.assign(tile.style, {width: `${100 / this.across}%`, height: `${this.height - 8}px`});
      made.append(tile);
    }
    const next = [...this.rows.keys()].filter(other => other > row).sort((a, b) => a - b)[0];
    this.grid.insertBefore(made, this.rows.get(next) ?? null);
    this.rows.set(row, made);
  }

  tile(place) {
    return this.grid.querySelector(`[data-place="${place}"]`);
  }

  /** Move the focus, and the page where the tile is out of sight. */
  focus(place) {
    this.tile(this.current)?.setAttribute("tabindex", "-1");
    this.current = place;
    this.need(Math.floor(place / this.across));
    const tile = this.tile(place);
    tile.setAttribute("tabindex", "0");
    tile.scrollIntoView({block: "nearest"});
    tile.focus({preventScroll: true});
  }

  click(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    this.focus(Number(tile.dataset.place));
    this.open(this.items[this.current], this.current, this.items);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = this.across * Math.max(1, Math.floor(innerHeight / this.height) - 1), last = this.items.length - 1;
    const moves = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.across, ArrowDown: this.across,
      PageUp: -page, PageDown: page, Home: -this.current, End: last - this.current};
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.open(this.items[this.current], this.current, this.items);
    } else if (event.key in moves) {
      event.preventDefault();
      this.focus(Math.max(0, Math.min(last, this.current + moves[event.key])));
    }
  }
}
