// A picture of one's own to search by: dropped on the page, pasted, or chosen from a file dialog.

import { byId, el } from "./dom.js";
import { keep } from "./picture.js";
import { attempt, toast } from "./say.js";
import { go } from "./state.js";

const LARGEST = 50 * 2 ** 20; // bytes; the server takes no more

export function startDrop() {
  let depth = 0; // of elements that the pointer is above
  const show = (on) => (byId("drop").hidden = !on);
  const files = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => files(event) && (event.preventDefault(), show((depth += 1) > 0)));
  addEventListener("dragleave", (event) => files(event) && show((depth = Math.max(0, depth - 1)) > 0));
  addEventListener("dragover", (event) => files(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    depth = 0;
    show(false);
    take([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])];
    if (!pasted.length) return; // text goes where the cursor is
    event.preventDefault();
    take(pasted);
  });
}

export function choosePicture() {
  const input = el("input", { type: "file", accept: "image/*" });
  input.addEventListener("change", () => take([...input.files]));
  input.click();
}

function take(files) {
  const file = files.find((one) => one.type.startsWith("image/")) ?? files[0];
  if (!file) return;
  if (file.size > LARGEST) toast("This picture is larger than 50 MB. Search by a smaller one.", { error: true });
  else attempt(async () => go({ picture: await keep(file), view: "photos", photo: 0 }));
}
