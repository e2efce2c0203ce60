// The ways in which a photo comes: chosen, dropped, pasted, taken, or one of the examples.

// `take({file, of})`, of how many files, or `take({example})` gets the photo, `fail(text)` what went wrong.
function makeInputs(root, settings, take, fail) {
  const stage = root.querySelector(".st-stage");
  const [any, camera] = root.querySelectorAll(".st-file");
  const button = (name) => root.querySelector(`[data-do="${name}"]`);
  const takeFirst = (files) => {
    const file = [...files].find((each) => each.type.startsWith("image/")) ?? files[0];
    if (file) take({ file, of: files.length });
    return Boolean(file);
  };

  button("choose").addEventListener("click", () => any.click());
  stage.addEventListener("click", () => stage.dataset.state === "empty" && any.click());
  for (const input of [any, camera]) {
    input.addEventListener("change", () => {
      takeFirst(input.files);
      input.value = ""; // the same file may be chosen again
    });
  }

  let over = 0; // entering a child comes before leaving its parent
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  // Anywhere on the page: beside it, the browser would open the photo in the page's place.
  document.addEventListener("dragenter", (event) => {
    if (hasFiles(event)) stage.dataset.over = String(++over > 0);
  });
  document.addEventListener("dragleave", (event) => {
    if (hasFiles(event)) stage.dataset.over = String(--over > 0);
  });
  document.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    over = 0;
    stage.dataset.over = "false";
    if (hasFiles(event)) {
      event.preventDefault();
      takeFirst(event.dataTransfer.files);
    }
  });

  document.addEventListener("paste", (event) => {
    const data = event.clipboardData;
    if (data?.files.length && takeFirst(data.files)) return event.preventDefault();
    const isText = event.target.closest?.("textarea, [contenteditable], input:not([type=range], [type=radio], [type=file])");
    if (data?.types.length && !isText) fail("There is no picture in the clipboard.");
  });
  // Browsers give the clipboard to a button only on https or the same computer; Ctrl+V works everywhere.
  button("paste").hidden = !navigator.clipboard?.read;
  button("paste").addEventListener("click", async () => {
    try {
      for (const item of await navigator.clipboard.read()) {
        const type = item.types.find((each) => each.startsWith("image/"));
        if (type) return take({ file: new File([await item.getType(type)], "pasted", { type }) });
      }
      fail("There is no picture in the clipboard.");
    } catch {
      fail("The browser did not give the clipboard; press Ctrl+V, or ⌘V on a Mac.");
    }
  });

  makeCamera(root, camera, take, fail);
  const thumbs = settings.examples.map((example) => {
    const thumb = document.createElement("button"), image = document.createElement("img");
    thumb.type = "button";
    thumb.className = "st-thumb";
    thumb.setAttribute("aria-pressed", "false");
    image.alt = example.alt;
    image.src = example.thumbnail;
    thumb.append(image);
    example.thumb = image;
    thumb.addEventListener("click", () => take({ example }));
    return thumb;
  });
  root.querySelector(".st-thumbs").replaceChildren(...thumbs);
  return {
    mark: (chosen) => thumbs.forEach((thumb, index) => thumb.setAttribute("aria-pressed", String(settings.examples[index] === chosen))),
  };
}

function makeCamera(root, input, take, fail) {
  const dialog = root.querySelector(".st-camera"), video = dialog.querySelector("video");
  let stream = null, isAsking = false;
  const stop = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = video.srcObject = null;
  };
  root.querySelector('[data-do="camera"]').addEventListener("click", async () => {
    // A phone's own camera makes the better photo; without https, it is also the only one.
    if (matchMedia("(pointer: coarse)").matches || !navigator.mediaDevices?.getUserMedia) return input.click();
    if (isAsking || stream) return; // a second stream would stay on, for only one is stopped
    isAsking = true;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
    } catch {
      return fail("No camera was found, or the browser did not allow it.");
    } finally {
      isAsking = false;
    }
    video.srcObject = stream;
    dialog.showModal();
    video.play().catch(() => {});
  });
  dialog.addEventListener("close", stop);
  dialog.querySelector('[data-do="close"]').addEventListener("click", () => dialog.close());
  dialog.querySelector('[data-do="snap"]').addEventListener("click", () => {
    if (!video.videoWidth) return;
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    dialog.close();
    canvas.toBlob((blob) => take({ file: new File([blob], "camera.jpg", { type: "image/jpeg" }) }), "image/jpeg", 0.95);
  });
}
