/** Pictures that are chosen, dropped or pasted: sent to the server, and opened. */

import { ask } from "./api.js";
import { byId } from "./dom.js";
import { go } from "./store.js";
import { toast, toastError } from "./toast.js";

/** Listen to everything by which a picture can come. */
export function watchUploads() {
  const file = byId("upload-file");
  byId("upload-button").addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    send(file.files);
    file.value = "";
  });
  addEventListener("paste", (event) => {
    const { files, types } = event.clipboardData ?? {};
    // a spreadsheet's cells come as a picture as well, but are meant as text
    if (files?.length && !types.includes("text/plain")) send(files);
  });
  watchDrops();
}

function watchDrops() {
  const drop = byId("drop");
  const isFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    drop.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) drop.hidden = true;
  });
  addEventListener("drop", (event) => {
    drop.hidden = true;
    if (!isFiles(event)) return;
    event.preventDefault();
    send(event.dataTransfer.files);
  });
}

async function send(files) {
  if (!files.length) return;
  if (files.length > 1) toast("One picture at a time: the first one is taken.");
  const body = new FormData();
  body.append("file", files[0]);
  byId("upload-button").classList.add("busy");
  try {
    const { id } = await ask("/v1/uploads", { body });
    go({ open: { upload_id: id }, segment: null, page: "" });
  } catch (error) {
    toastError(error);
  } finally {
    byId("upload-button").classList.remove("busy");
  }
}
