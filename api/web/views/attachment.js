/** A message's file as elements: a picture, or a card with its name; while it is sent, how far that is. */

import { plain } from "../lib/text.js";
import { sizeLabel } from "../lib/uploads.js";
import { openDialog } from "./dialog.js";
import { h, icon, iconButton } from "./dom.js";

const BOX_PX = 320;
const SMALLEST_PX = 96;
const previews = new WeakMap(); // a file on this device → its object URL

/** An address for a file on this device, as long as the page lives. */
export function previewOf(blob) {
  if (!previews.has(blob)) previews.set(blob, URL.createObjectURL(blob));
  return previews.get(blob);
}

/** `scene` as for describeRow, with `link(fileId)`, `cancel(key)` and `tell(error)`. */
export function attachment(row, scene) {
  const { file, kind } = row.message;
  const gone = file.expires_at && new Date(file.expires_at) <= scene.now;
  const inner = gone ? expired(file) : kind === "IMAGE" ? picture(row, file, scene) : card(file, scene);
  return h("div", { class: "attachment" }, inner, row.uploading && sending(row, scene));
}

function picture(row, file, scene) {
  const { width, height } = boxed(file);
  const image = h("img", { alt: file.name, width, height, decoding: "async", draggable: "false" });
  image.style.aspectRatio = `${width} / ${height}`; // and not the picture's own, which may be any
  const open = () => file.file_id && scene.link(file.file_id).then((link) => showLarge(file, link), scene.tell);
  const button = h(
    "button",
    { type: "button", class: "photo", "aria-label": `Open ${file.name}`, on: { click: open } },
    image,
  );
  const missing = () => button.classList.add("is-missing");
  image.addEventListener("error", missing);
  if (file.blob) image.src = previewOf(file.blob);
  else scene.link(file.file_id).then((link) => (image.src = link.thumbnail_url ?? link.url), missing);
  return button;
}

function card(file, scene) {
  const save = async () => {
    try {
      const { url } = await scene.link(file.file_id);
      h("a", { href: url, download: file.name, rel: "noopener" }).click();
    } catch (error) {
      scene.tell(error);
    }
  };
  return h(
    "button",
    { type: "button", class: "file-card", "aria-label": `Save ${file.name}`, disabled: !file.file_id, on: { click: save } },
    icon("file"),
    lines(file, sizeLabel(file.size)),
  );
}

function expired(file) {
  return h("div", { class: "file-card is-gone" }, icon("file"), lines(file, "No longer kept"));
}

function lines(file, note) {
  return h("span", { class: "file-lines" }, h("b", { dir: "auto" }, plain(file.name) || "File"), h("small", {}, note));
}

function sending(row, scene) {
  return h(
    "div",
    { class: "upload" },
    h("progress", { max: "1", "aria-label": `Sending ${row.message.file.name}` }),
    iconButton("close", "Cancel", () => scene.act.cancel(row.key)),
  );
}

/** Show how far a file is; `part` null while it waits for its turn. */
export function paintProgress(element, part) {
  const bar = element.querySelector("progress");
  if (!bar) return;
  if (part === null) bar.removeAttribute("value");
  else bar.value = part;
}

/** Width and height on the page. Known beforehand, so that nothing moves when the picture comes. */
function boxed({ width, height }) {
  if (!width || !height) return { width: 240, height: 180 };
  const scale = Math.min(1, BOX_PX / width, BOX_PX / height);
  return {
    width: Math.max(SMALLEST_PX, Math.round(width * scale)),
    height: Math.max(SMALLEST_PX / 2, Math.round(height * scale)),
  };
}

function showLarge(file, link) {
  const dialog = openDialog({
    title: file.name,
    className: "viewer",
    content: [
      h("img", { src: link.url, alt: file.name }),
      h("a", { class: "secondary", href: link.url, download: file.name, rel: "noopener" }, "Save"),
    ],
  });
  dialog.querySelector("img").addEventListener("click", () => dialog.close());
}
