/** Files that are about to be sent: chosen, dragged or pasted, shown above the composer until they go. */

import { plain } from "../lib/text.js";
import { sizeLabel } from "../lib/uploads.js";
import { previewOf } from "./attachment.js";
import { fill, h, icon, iconButton } from "./dom.js";

const AT_ONCE = 20;

export class Attach {
  #limit;
  #onChange;
  #say;
  #files = new Map(); // chat id → files
  #chatId = null;
  #input = h("input", { type: "file", multiple: true, hidden: true, "aria-hidden": "true", tabindex: "-1" });

  /** `limit()`: bytes that a file may have, 0 where the server takes none. */
  constructor({ limit, onChange, say }) {
    this.#limit = limit;
    this.#onChange = onChange;
    this.#say = say;
    this.#input.addEventListener("change", () => {
      this.add([...this.#input.files]);
      this.#input.value = "";
    });
    this.button = iconButton("clip", "Attach files", () => this.#input.click(), { class: "attach" });
    this.tray = h("ul", { class: "tray", "aria-label": "Files to send", hidden: true });
    this.element = h("span", { class: "attach-place" }, this.#input, this.button);
  }

  get files() {
    return this.#files.get(this.#chatId) ?? [];
  }

  show(chatId) {
    this.#chatId = chatId;
    this.#paint();
  }

  add(files) {
    const limit = this.#limit();
    const fit = files.filter(({ size }) => size > 0 && size <= limit);
    if (!limit) this.#say("This server takes no files.");
    else if (fit.length < files.length) this.#say(`A file may have up to ${sizeLabel(limit)}, and may not be empty.`);
    this.#set([...this.files, ...fit].slice(0, AT_ONCE));
  }

  /** What is there, which then is no longer. */
  take() {
    const { files } = this;
    this.#set([]);
    return files;
  }

  /** Take files that are dropped on `element` or pasted into `field`. */
  listen(element, field) {
    // Where nobody may write, nothing is dropped either.
    const hasFiles = (transfer) => [...(transfer?.types ?? [])].includes("Files") && !field.closest("[hidden]");
    const mark = (on) => element.classList.toggle("is-target", on);
    element.addEventListener("dragover", (event) => {
      if (!hasFiles(event.dataTransfer) || !this.#chatId) return;
      event.preventDefault();
      mark(true);
    });
    element.addEventListener("dragleave", (event) => !element.contains(event.relatedTarget) && mark(false));
    element.addEventListener("drop", (event) => {
      mark(false);
      if (!hasFiles(event.dataTransfer)) return;
      event.preventDefault();
      this.add([...event.dataTransfer.files]);
      field.focus();
    });
    field.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (!files.length) return;
      event.preventDefault();
      this.add(files);
    });
  }

  #set(files) {
    this.#files.set(this.#chatId, files);
    this.#paint();
    this.#onChange();
  }

  #paint() {
    this.tray.hidden = !this.files.length;
    fill(
      this.tray,
      this.files.map((file) => this.#item(file)),
    );
  }

  #item(file) {
    const remove = () => this.#set(this.files.filter((each) => each !== file));
    return h(
      "li",
      {},
      file.type.startsWith("image/") ? h("img", { src: previewOf(file), alt: "" }) : icon("file"),
      h("span", { class: "file-lines" }, h("b", { dir: "auto" }, plain(file.name) || "File"), h("small", {}, sizeLabel(file.size))),
      iconButton("close", `Leave out ${file.name}`, remove),
    );
  }
}
