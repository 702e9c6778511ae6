// The diagram's colours, read from the style sheet, and its hatchings.
//
// The hues are told apart by people who do not see red and green as different (after Okabe and Ito, and Paul Tol), and no
// meaning rests on colour alone: losses are crosses, second arrivals dashes, roles widths of the band.

const EPOCH_COLOURS = 6;

class Palette {
  constructor() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    for (const name of ["paper", "sheet", "sunken", "line", "faint", "ink", "soft", "mute", "accent", "select", "bad", "hatch", "cut", "shade"]) {
      this[name] = read(name);
    }
    this.bad_soft = read("bad-soft");
    this.families = FAMILIES.map((family) => (family === "other" ? this.soft : read(family)));
    this.epochs = Array.from({ length: EPOCH_COLOURS + 1 }, (_, place) => read(`epoch-${place}`));
    this.sans = read("sans");
    this.mono = read("mono");
    this.patterns = new Map();
  }

  epoch(number) { return number === 0 ? this.epochs[0] : this.epochs[1 + ((number - 1) % EPOCH_COLOURS)]; }

  /** A hatching: lines that rise, or both ways. */
  hatching(context, colour, spacing, crossed = false) {
    const key = `${colour} ${spacing} ${crossed}`;
    let pattern = this.patterns.get(key);
    if (!pattern) {
      const tile = document.createElement("canvas");
      tile.width = tile.height = spacing;
      const pen = tile.getContext("2d");
      pen.strokeStyle = colour;
      pen.lineWidth = 1;
      pen.beginPath();
      for (const shift of [-spacing, 0, spacing]) {
        pen.moveTo(shift, spacing);
        pen.lineTo(shift + spacing, 0);
        if (crossed) { pen.moveTo(shift, 0); pen.lineTo(shift + spacing, spacing); }
      }
      pen.stroke();
      this.patterns.set(key, pattern = context.createPattern(tile, "repeat"));
    }
    return pattern;
  }
}
