"use strict";
(() => {
  const KEEP = { get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
    set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* a browser that keeps nothing */ } } };

  // ---- colours: as the system has them, or as chosen
  const themes = ["system", "light", "dark"];
  const themeButton = document.getElementById("theme");
  const showTheme = (theme) => {
    if (theme === "system") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.dataset.theme = theme;
    themeButton.textContent = `Colours: ${theme}`;
  };
  let theme = themes.includes(KEEP.get("hardmine:theme")) ? KEEP.get("hardmine:theme") : "system";
  showTheme(theme);
  themeButton.hidden = false;
  themeButton.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    KEEP.set("hardmine:theme", theme);
    showTheme(theme);
  });

  // what a browser would not show, or show out of its order, as an escape
  const shown = (text) => String(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (char) => {
    const code = char.codePointAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const SVG = "http://www.w3.org/2000/svg";
  const makeSvg = (tag, attributes) => {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const drawBox = (svg, box, className) => {
    const at = { x: box[0], y: box[1], width: Math.max(0, box[2] - box[0]), height: Math.max(0, box[3] - box[1]) };
    svg.append(makeSvg("rect", { ...at, class: `box halo ${className.includes("other") ? "other" : ""}` }),
      makeSvg("rect", { ...at, class: `box ${className}` }));
  };
  const drawPaths = (svg, paths) => {  // dashes over a solid line: where both run alike, both are seen
    for (const [className, d] of paths) if (d) svg.append(makeSvg("path", { d, class: `box ${className}` }));
  };
  const number = (value, digits = 2) => (value === null ? "–" : value.toFixed(digits));
  const grouped = (value) => value.toLocaleString("en");
  const NAMES = { missing: "missing label", spurious: "spurious label" };
  const AREA = { small: 32 ** 2, large: 96 ** 2 };
  const GAP = 12, SAID = 82, DECIDE = 42, OVERSCAN = 900, PRINTED = 24;
  const limits = JSON.parse(document.getElementById("limits").textContent);

  class Gallery {
    constructor(root) {
      this.root = root;
      this.data = JSON.parse(document.getElementById(`data${root.dataset.gallery}`).textContent);
      this.examples = this.data.examples;
      this.count = this.examples.kind.length;
      this.withoutPicture = new Set(this.data.missing);
      this.key = `hardmine:decisions:${this.data.fingerprint}`;
      this.decisions = this.readDecisions();
      this.grid = root.querySelector(".grid");
      this.cells = new Map();
      this.current = 0;
      this.chosen = [];
      this.controls = Object.fromEntries([...root.querySelectorAll("[data-control]")].map((of) => [of.dataset.control, of]));
      this.areas = Array.from({ length: this.count }, (_, i) => {
        const box = this.examples.label[i] ?? this.examples.found[i];
        return box ? (box[2] - box[0]) * (box[3] - box[1]) : 0;
      });
      this.fillSelects();
      this.listen();
      for (const name of [".toolbar", ".status"]) root.querySelector(name).hidden = false;
      if (matchMedia("(max-width: 40rem)").matches) root.querySelector(".filters").open = false;
      this.grid.hidden = false;
      this.choose();
    }

    // ---- decisions: row in suspects.parquet -> accept or reject
    readDecisions() {
      try {
        const kept = JSON.parse(KEEP.get(this.key) ?? "{}");
        return new Map(Object.entries(kept).filter(([, of]) => of === "accept" || of === "reject").map(([row, of]) => [Number(row), of]));
      } catch { return new Map(); }
    }
    decisionOf(i) { return this.decisions.get(this.examples.row[i]); }
    isSuspect(i) { return this.examples.row[i] !== null; }
    decide(i, decision) {
      if (!this.isSuspect(i)) return;
      if (decision) this.decisions.set(this.examples.row[i], decision);
      else this.decisions.delete(this.examples.row[i]);
      KEEP.set(this.key, JSON.stringify(Object.fromEntries(this.decisions)));
      for (const cell of this.cells.values()) if (cell.example === i) this.showDecision(cell);
      this.showCount();
    }
    download() {
      const text = (value) => JSON.stringify(value);
      const byRow = new Map(this.examples.row.map((row, i) => [row, i]));
      const lines = [...this.decisions].filter(([row]) => byRow.has(row)).sort(([a], [b]) => a - b).map(([row, decision]) => {
        const i = byRow.get(row), image = this.examples.image[i];
        return `    {"row": ${row}, "image_id": ${this.data.images.id[image]}, "file_name": ${text(this.data.images.name[image])}, `
          + `"kind": ${text(this.kindOf(i))}, "decision": ${text(decision)}}`;
      });
      const json = `{\n  "format": 1,\n  "mined": ${text(this.data.mined)},\n  "decisions": [\n${lines.join(",\n")}\n  ]\n}\n`;
      const link = make("a");
      link.href = URL.createObjectURL(new Blob([json], { type: "application/json" }));
      link.download = "decisions.json";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    }

    // ---- what is said of an example
    kindName(i) { return shown(NAMES[this.kindOf(i)] ?? this.kindOf(i)); }
    kindOf(i) { return this.examples.kinds[this.examples.kind[i]]; }
    className(place) { return place === null || place === undefined ? null : shown(this.examples.classes[place]); }
    classesOf(i) {
      const label = this.className(this.examples.category[i]), found = this.className(this.examples.foundCategory[i]);
      const kind = this.kindOf(i);
      if (this.data.paths) return "";  // the kind says both
      if (kind === "missing") return found ?? "";
      if (kind === "hard negative") return `${found}${label && label !== found ? ` near ${label}` : ""}`;
      return label && found && label !== found ? `${label} → ${found}` : label ?? found ?? "";
    }
    fileOf(i) {
      const image = this.examples.image[i];
      return shown(this.data.images.name[image] || `image ${this.data.images.id[image]}`);
    }
    valueOf(i) { return `${this.data.paths ? "" : this.isSuspect(i) ? "p = " : "hardness "}${number(this.examples.value[i])}`; }
    valueName(i) { return this.data.paths ? "score" : this.isSuspect(i) ? "probability" : "hardness"; }
    restOf(i) {
      const { score, iou, loss, why } = this.examples;
      return [why[i], score[i] === null ? "" : `score ${number(score[i])}`, iou[i] === null ? "" : `IoU ${number(iou[i])}`,
        loss[i] === null ? "" : `loss ${number(loss[i])}`].filter(Boolean).join(", ");
    }
    get pictures() { return `${this.data.folder}${this.controls.hardness?.checked ? "/hardness" : ""}`; }
    cropFile(i) { return `${this.pictures}/crops/${i}.jpg`; }
    showHardness() {
      if (!this.controls.hardness) return;
      this.controls.hardness.checked = !this.controls.hardness.checked;
      this.layOut();
    }
    hasPicture(i) { return !this.withoutPicture.has(this.examples.image[i]); }

    // ---- filters
    fillSelects() {
      const { kinds, classes, kind, category, foundCategory } = this.examples;
      const counts = kinds.map((_, place) => kind.filter((of) => of === place).length);
      const add = (select, value, text) => { const option = make("option", "", text); option.value = value; select.append(option); };
      add(this.controls.kind, "", `any (${grouped(this.count)})`);
      const numSuspects = this.examples.row.filter((row) => row !== null).length;
      if (numSuspects && numSuspects < this.count) {
        add(this.controls.kind, "suspects", `all suspects (${grouped(numSuspects)})`);
        add(this.controls.kind, "hard", `all hard ones (${grouped(this.count - numSuspects)})`);
      }
      kinds.forEach((name, place) => add(this.controls.kind, String(place), `${shown(NAMES[name] ?? name)} (${grouped(counts[place])})`));
      const inClass = new Map();
      for (let i = 0; i < this.count; i++) for (const of of new Set([category[i], foundCategory[i]])) if (of !== null) inClass.set(of, (inClass.get(of) ?? 0) + 1);
      add(this.controls.class, "", "any");
      classes.forEach((name, place) => add(this.controls.class, String(place), `${shown(name)} (${grouped(inClass.get(place) ?? 0)})`));
      if (this.data.paths) this.controls.sort.querySelector('[value="score"]').remove();
      if (!this.examples.loss.some((loss) => loss !== null)) this.controls.sort.querySelector('[value="loss"]').remove();
      if (!numSuspects) this.controls.decision.closest("label").hidden = true;
      if (numSuspects && numSuspects < this.count) this.controls.kind.value = "suspects";
    }
    choose() {
      const { kind, class: ofClass, size, decision, least, name, sort } = this.controls;
      const x = this.examples, wanted = name.value.toLowerCase(), least_ = Number(least.value), area = this.areas;
      this.root.querySelector('[data-show="least"]').textContent = number(least_);
      const fits = (i) => (kind.value === "" || (kind.value === "suspects" ? this.isSuspect(i) : kind.value === "hard" ? !this.isSuspect(i) : x.kind[i] === Number(kind.value)))
        && (ofClass.value === "" || x.category[i] === Number(ofClass.value) || x.foundCategory[i] === Number(ofClass.value))
        && (size.value === "" || (size.value === "small" ? area[i] < AREA.small : size.value === "large" ? area[i] > AREA.large : area[i] >= AREA.small && area[i] <= AREA.large))
        && (decision.value === "" || (decision.value === "open" ? this.isSuspect(i) && !this.decisionOf(i) : this.decisionOf(i) === decision.value))
        && (x.value[i] ?? 0) >= least_
        && (wanted === "" || this.fileOf(i).toLowerCase().includes(wanted));
      const chosen = [];
      for (let i = 0; i < this.count; i++) if (fits(i)) chosen.push(i);
      const falling = (of) => (a, b) => (of[b] ?? -Infinity) - (of[a] ?? -Infinity) || a - b;
      const orders = { value: falling(x.value), least: (a, b) => (x.value[a] ?? 0) - (x.value[b] ?? 0) || a - b, score: falling(x.score), loss: falling(x.loss),
        small: (a, b) => area[a] - area[b] || a - b, large: falling(area),
        class: (a, b) => this.classesOf(a).localeCompare(this.classesOf(b)) || a - b, name: (a, b) => this.fileOf(a).localeCompare(this.fileOf(b)) || a - b };
      if (orders[sort.value]) chosen.sort(orders[sort.value]);
      this.chosen = chosen;
      this.current = 0;
      this.root.querySelector('[data-show="none"]').hidden = chosen.length > 0;
      this.showCount();
      this.layOut();
    }
    showCount() {
      const values = [...this.decisions.values()], accepted = values.filter((of) => of === "accept").length;
      const numSuspects = this.examples.row.filter((row) => row !== null).length;
      const decided = numSuspects ? ` Suspects: ${grouped(accepted)} accepted, ${grouped(values.length - accepted)} rejected, ${grouped(numSuspects - values.length)} undecided.` : "";
      this.root.querySelector('[data-show="count"]').textContent = `${grouped(this.chosen.length)} of ${grouped(this.count)} shown.${decided}`;
    }

    // ---- the grid: only what is near the window is in the document, at places that are known beforehand
    layOut() {
      const width = this.grid.clientWidth;
      const least = width < 500 ? 150 : 190;
      this.columns = Math.max(1, Math.floor((width + GAP) / (least + GAP)));
      this.wide = Math.floor((width - GAP * (this.columns - 1)) / this.columns);
      this.high = this.wide + SAID + (this.examples.row.some((row) => row !== null) ? DECIDE : 0);
      const rows = Math.ceil(this.chosen.length / this.columns);
      this.grid.style.height = `${Math.max(0, rows * (this.high + GAP) - GAP)}px`;
      for (const place of [...this.cells.keys()]) this.drop(place);
      this.show();
    }
    show() {
      const top = -this.grid.getBoundingClientRect().top, row = this.high + GAP;
      const first = Math.max(0, Math.floor((top - OVERSCAN) / row)) * this.columns;
      const last = Math.min(this.chosen.length, Math.ceil((top + innerHeight + OVERSCAN) / row) * this.columns);
      for (const place of [...this.cells.keys()]) if (place < first || place >= last) this.drop(place);
      for (let place = first; place < last; place++) if (!this.cells.has(place)) this.add(place);
    }
    drop(place) {
      const cell = this.cells.get(place);
      if (cell.contains(document.activeElement)) this.root.focus({ preventScroll: true });
      cell.remove();
      this.cells.delete(place);
    }
    add(place) {
      const i = this.chosen[place], cell = this.cellOf(i);
      cell.place = place;
      cell.style.width = `${this.wide}px`;
      cell.style.height = `${this.high}px`;
      cell.style.transform = `translate(${(place % this.columns) * (this.wide + GAP)}px, ${Math.floor(place / this.columns) * (this.high + GAP)}px)`;
      cell.setAttribute("aria-setsize", this.chosen.length);
      cell.setAttribute("aria-posinset", place + 1);
      this.cells.set(place, cell);
      this.showCurrent(cell);
      const after = [...this.cells.keys()].filter((of) => of > place).sort((a, b) => a - b)[0];
      this.grid.insertBefore(cell, after === undefined ? null : this.cells.get(after));
    }
    cellOf(i) {
      const cell = make("div", "cell"), open = make("button", "open"), said = make("div", "said"), first = make("div", "first");
      cell.example = i;
      cell.setAttribute("role", "listitem");
      open.type = "button";
      const kind = this.kindName(i);
      open.setAttribute("aria-label", `${[kind, this.classesOf(i), this.valueOf(i), this.fileOf(i)].filter(Boolean).join(", ")}: show the whole image`);
      if (this.hasPicture(i)) {
        const image = make("img");
        image.alt = "";
        image.decoding = "async";
        image.src = this.cropFile(i);
        image.addEventListener("error", () => image.replaceWith(make("span", "gone", "no picture")), { once: true });
        open.append(image, this.boxesOf(i));
      } else open.append(make("span", "gone", "no picture"));
      const [title, second, third] = this.data.paths ? [this.restOf(i), kind, ""] : [kind, this.classesOf(i), this.restOf(i)];
      first.append(make("span", "kind", title), make("span", "value", this.valueOf(i)));
      const file = make("div", "file"), name = make("bdi", "", this.fileOf(i));
      file.append(name);
      file.title = this.fileOf(i);
      said.append(first, make("div", "", second), make("div", "rest", third), file);
      cell.append(open, said);
      if (this.isSuspect(i)) {
        const buttons = make("div", "decide");
        for (const [decision, text] of [["accept", "Accept"], ["reject", "Reject"]]) {
          const button = make("button", decision, text);
          button.type = "button";
          button.tabIndex = -1;
          button.dataset.decision = decision;
          button.setAttribute("aria-label", `${text}: ${kind}, ${this.fileOf(i)}`);
          buttons.append(button);
        }
        cell.append(buttons);
        this.showDecision(cell);
      }
      return cell;
    }
    boxesOf(i) {
      const [x, y, width, height] = this.examples.crop[i];
      const svg = makeSvg("svg", { viewBox: `${x} ${y} ${width} ${height}`, "aria-hidden": "true" });
      if (this.controls.boxes.checked) this.drawOwn(svg, i);
      return svg;
    }
    drawOwn(svg, i) {
      const { paths } = this.data;
      if (paths) {
        const [label, found] = [paths.label[i], paths.found[i]];
        drawPaths(svg, [["region", paths.region[i]], ["halo", label], ["halo", found], ["label", label], ["found", found]]);
      } else {
        if (this.examples.label[i]) drawBox(svg, this.examples.label[i], "label");
        if (this.examples.found[i]) drawBox(svg, this.examples.found[i], "found");
      }
    }
    showDecision(cell) {
      const decision = this.decisionOf(cell.example);
      cell.classList.toggle("accept", decision === "accept");
      cell.classList.toggle("reject", decision === "reject");
      for (const button of cell.querySelectorAll("[data-decision]")) {
        const isChosen = button.dataset.decision === decision;
        button.setAttribute("aria-pressed", isChosen);
        button.textContent = button.dataset.decision === "accept" ? (isChosen ? "✓ Accepted" : "Accept") : (isChosen ? "✗ Rejected" : "Reject");
      }
    }
    showCurrent(cell) {
      cell.classList.toggle("current", cell.place === this.current);
      cell.querySelector(".open").tabIndex = cell.place === this.current ? 0 : -1;
    }
    goTo(place, focus = true) {
      if (!this.chosen.length) return;
      this.current = Math.min(this.chosen.length - 1, Math.max(0, place));
      const top = Math.floor(this.current / this.columns) * (this.high + GAP) + this.grid.getBoundingClientRect().top;
      const bar = this.root.querySelector(".status").offsetHeight;
      if (top < bar || top + this.high > innerHeight) scrollBy({ top: top < bar ? top - bar - GAP : top + this.high - innerHeight + GAP, behavior: "instant" });
      this.show();
      for (const cell of this.cells.values()) this.showCurrent(cell);
      if (focus) this.cells.get(this.current)?.querySelector(".open").focus({ preventScroll: true });
    }

    // ---- keys and clicks
    listen() {
      this.root.tabIndex = -1;
      for (const [name, control] of Object.entries(this.controls)) {
        if (name === "boxes" || name === "hardness") control.addEventListener("change", () => this.layOut());
        else control.addEventListener("input", () => this.choose());
      }
      this.root.querySelector('[data-action="download"]')?.addEventListener("click", () => this.download());
      this.root.querySelector('[data-action="forget"]')?.addEventListener("click", () => {
        if (!confirm(`Forget all ${this.decisions.size} decisions?`)) return;
        this.decisions.clear();
        KEEP.set(this.key, "{}");
        this.layOut();
        this.showCount();
      });
      this.grid.addEventListener("click", (event) => {
        const cell = event.target.closest(".cell"), decision = event.target.closest("[data-decision]")?.dataset.decision;
        if (!cell) return;
        this.goTo(cell.place, false);
        if (decision) this.decide(cell.example, this.decisionOf(cell.example) === decision ? null : decision);
        else if (event.target.closest(".open")) viewer.open(this, cell.place);
      });
      this.grid.addEventListener("focusin", (event) => {
        const cell = event.target.closest(".cell");
        if (cell && cell.place !== this.current) { this.current = cell.place; for (const of of this.cells.values()) this.showCurrent(of); }
      });
      this.root.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest(".toolbar, .status, .how")) return;
        const steps = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns };
        const decisions = { a: "accept", r: "reject", u: null };
        if (event.key in steps) this.goTo(this.current + steps[event.key]);
        else if (event.key === "Home") this.goTo(0);
        else if (event.key === "End") this.goTo(this.chosen.length - 1);
        else if (event.key in decisions) {
          this.decide(this.chosen[this.current], decisions[event.key]);
          if (decisions[event.key]) this.goTo(this.current + 1);
        } else if (event.key === "h" && this.controls.hardness) {
          this.showHardness();
          this.goTo(this.current);
        } else return;
        event.preventDefault();
      });
      addEventListener("scroll", () => this.show(), { passive: true });  // of which there is one a frame, before it is drawn
      new ResizeObserver(() => { if (this.grid.clientWidth !== this.lastWidth) { this.lastWidth = this.grid.clientWidth; this.layOut(); } }).observe(this.grid);
      addEventListener("beforeprint", () => this.print(true));
      addEventListener("afterprint", () => this.print(false));
    }
    print(isPrinting) {
      this.grid.classList.toggle("printed", isPrinting);
      if (!isPrinting) { this.layOut(); return; }
      for (const place of [...this.cells.keys()]) this.drop(place);
      const num = Math.min(PRINTED, this.chosen.length);
      for (let place = 0; place < num; place++) this.add(place);
      this.root.querySelector(".printed-note").textContent = `Printed: the first ${num} of these.`;
    }
  }

  // ---- one image, whole, with all boxes
  const dialog = document.getElementById("viewer");
  const viewer = dialog && {
    find: (selector) => dialog.querySelector(selector),
    open(gallery, place) {
      this.gallery = gallery;
      dialog.showModal();
      this.show(place);
    },
    show(place) {
      const { gallery } = this, { examples, data } = gallery;
      this.place = Math.min(gallery.chosen.length - 1, Math.max(0, place));
      const i = gallery.chosen[this.place], image = examples.image[i], [width, height] = data.images.size[image];
      const kind = gallery.kindName(i);
      this.find("#viewer-title").textContent = [kind, gallery.classesOf(i)].filter(Boolean).join(": ");
      this.find(".viewer-facts").textContent = [`${grouped(this.place + 1)} of ${grouped(gallery.chosen.length)}`,
        `${gallery.valueName(i)} ${number(examples.value[i], 3)}`, gallery.restOf(i), gallery.fileOf(i),
        `${width}×${height}`].filter(Boolean).join(" · ");
      const stage = this.find(".stage");
      stage.replaceChildren();
      const svg = makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${gallery.fileOf(i)} with boxes` });
      if (gallery.hasPicture(i)) {
        const picture = make("img");
        picture.alt = "";
        picture.src = `${gallery.pictures}/images/${image}.jpg`;
        stage.append(picture);
      } else stage.append(make("span", "gone", "no picture"));
      this.find('[data-for="boxes"]').hidden = Boolean(data.paths);
      this.find('[data-for="masks"]').hidden = !data.paths;
      if (!data.paths && this.find('[data-control="others"]').checked) this.drawOthers(svg, image);
      if (!data.paths || this.find('[data-control="outlines"]').checked) gallery.drawOwn(svg, i);
      stage.append(svg);
      if (data.paths) this.find('[data-show="others"]').textContent = "Solid: contours of the labels; dashed: of what is predicted, both around the region that is suspect, which is shaded.";
      else this.find('[data-show="others"]').textContent = `Solid: labels (${data.images.labels[image].length}); dashed: predictions (${data.images.predictions[image].length}, the surest ${limits.predictions} at most, score ${limits.score} or more). Thick: what this is about. Point at a box for its class.`;
      this.find(".decide").hidden = !gallery.isSuspect(i);
      for (const decision of ["accept", "reject"]) this.find(`[data-action="${decision}"]`).setAttribute("aria-pressed", gallery.decisionOf(i) === decision);
      const next = gallery.chosen[this.place + 1];
      if (next !== undefined && gallery.hasPicture(next)) new Image().src = `${gallery.pictures}/images/${examples.image[next]}.jpg`;
    },
    drawOthers(svg, image) {
      const { images } = this.gallery.data;
      const add = (box, className, text) => {
        const group = makeSvg("g", {}), title = makeSvg("title", {});
        title.textContent = text;
        group.append(title);
        drawBox(group, box, `${className} other`);
        for (const rect of group.querySelectorAll("rect")) rect.setAttribute("pointer-events", "all");
        svg.append(group);
      };
      for (const [name, ...box] of images.labels[image]) add(box, "label", `label: ${shown(images.classes[name])}`);
      for (const [name, score, ...box] of images.predictions[image]) add(box, "found", `prediction: ${shown(images.classes[name])}, score ${number(score)}`);
    },
    decide(decision, isToggle) {
      const { gallery } = this, i = gallery.chosen[this.place];
      if (!gallery.isSuspect(i)) return;
      gallery.decide(i, isToggle && gallery.decisionOf(i) === decision ? null : decision);
      this.show(decision && this.place < gallery.chosen.length - 1 && !isToggle ? this.place + 1 : this.place);
    },
  };
  if (viewer) {
    const does = { close: () => dialog.close(), previous: () => viewer.show(viewer.place - 1), next: () => viewer.show(viewer.place + 1),
      accept: () => viewer.decide("accept", true), reject: () => viewer.decide("reject", true) };
    for (const [name, what] of Object.entries(does)) viewer.find(`[data-action="${name}"]`).addEventListener("click", what);
    for (const name of ["others", "outlines"]) viewer.find(`[data-control="${name}"]`).addEventListener("change", () => viewer.show(viewer.place));
    does.hardness = () => { viewer.gallery.showHardness(); viewer.show(viewer.place); };
    viewer.find('[data-action="hardness"]').addEventListener("click", does.hardness);
    dialog.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const keys = { ArrowRight: does.next, j: does.next, ArrowLeft: does.previous, k: does.previous,
        a: () => viewer.decide("accept"), r: () => viewer.decide("reject"), u: () => viewer.decide(null), h: does.hardness };
      if (!(event.key in keys)) return;
      keys[event.key]();
      event.preventDefault();
    });
    dialog.addEventListener("close", () => viewer.gallery.goTo(viewer.place));
  }
  for (const root of document.querySelectorAll(".gallery")) new Gallery(root);
})();
