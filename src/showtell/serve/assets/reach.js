// Whether the server can be reached, and why a question got no answer. Gradio itself would only say so in a corner, late.

const REASONS = {
  401: "The server asks for its key. Reload the page and enter it.",
  403: "The server does not take photos from this page. Open it by the server's own address.",
  408: "Sending the photo took too long. Try a smaller one, or a better connection.",
  413: "This photo is too large for the server. Try a smaller one.",
  503: "The server has too much to do. Try again in a moment.",
};
const GONE = "The server cannot be reached. Try again when it is back.";
const PROBE = 3, LONGEST = 8; // seconds between looks whether the server is there, and of one

// `fail(text, code)` is told why the question whose number is `open()` will get no answer; null: none is open.
function makeReach(open, fail) {
  let status = null, timer = 0; // status: of the answer to the last question sent; 0: there was none

  async function isThere() {
    try {
      const response = await fetch("readyz", { cache: "no-store", signal: AbortSignal.timeout(1000 * LONGEST) });
      return response.ok ? "ready" : "stopping";
    } catch {
      return "gone";
    }
  }

  async function tell(number) {
    if (number === null || number !== open()) return;
    clearTimeout(timer);
    const state = await isThere();
    if (number !== open()) return; // answered meanwhile, or another was asked
    if (state === "gone") return fail(GONE, "unreachable");
    if (state === "stopping") return fail("The server is stopping. Try again later.", "stopping");
    fail(REASONS[status] ?? "The server did not answer. It may be busy; try again.", status >= 400 ? `status ${status}` : "no_answer");
  }

  async function watchOver(number) {
    const state = await isThere();
    if (number !== open()) return;
    if (state === "gone") fail(GONE, "unreachable");
    else timer = setTimeout(watchOver, 1000 * PROBE, number);
  }

  // Gradio does not say with which status a question was refused; the browser does.
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (!entry.name.includes("/queue/join")) continue;
      status = entry.responseStatus ?? null;
      if (status === 0 || status >= 400) tell(open());
    }
  }).observe({ type: "resource" });
  window.addEventListener("showtell-failed", () => setTimeout(tell, 200, open())); // first the browser shall say the status

  return {
    asked() {
      clearTimeout(timer);
      status = null;
      timer = setTimeout(watchOver, 1000 * PROBE, open());
    },
    done: () => clearTimeout(timer),
    tell,
  };
}

// ---- over a reload ----

// Gradio reloads the page when a server that was gone is back.
const KEPT = "showtell-question", LARGEST_KEPT = 3e6; // characters of base64; a browser keeps some five million
const KEPT_SIDE = 1024; // pixels of the longer side of what is kept instead of a larger photo

// In base64; none of a photo that the browser cannot show.
function smaller(image) {
  if (!image.naturalWidth) return undefined;
  const scale = Math.min(1, KEPT_SIDE / Math.max(image.naturalWidth, image.naturalHeight));
  const [width, height] = [image.naturalWidth, image.naturalHeight].map((side) => Math.max(1, Math.round(scale * side)));
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d").drawImage(image, 0, 0, width, height);
  return canvas.toDataURL("image/jpeg", 0.92).split(",")[1];
}

function keepQuestion({ encoded, ...question }, image) {
  try {
    const kept = encoded?.length > LARGEST_KEPT ? smaller(image) : encoded;
    sessionStorage.setItem(KEPT, JSON.stringify({ ...question, encoded: kept }));
  } catch {
    // Without it photo and options are lost, no more.
  }
}

function keptQuestion() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT));
    sessionStorage.removeItem(KEPT);
    return kept;
  } catch {
    return null;
  }
}

const decoded = (encoded, name) => new File([Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0))], name);
