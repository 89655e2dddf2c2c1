// The HTTP API, and its errors in plain words.
const TRIES_WHEN_BUSY = 20;

const WAIT = new Set(["busy", "not_ready"]);

const PLAIN = {
  unsupported_type: "This is not a kind of file that is taken.",
  undecodable: "This file cannot be read: it is damaged, empty, or holds no picture.",
  too_large: "This file is too large.",
  too_slow: "This file took too long and was given up.",
  busy: "The server has too much to do. Try again later.",
  not_ready: "The server is not ready. Try again later.",
  stalled: "This file arrived too slowly.",
  stopping: "The server is stopping.",
  unreachable: "The server does not answer. Does it still run?",
  internal: "Something went wrong on the server.",
};

export class Refused extends Error {
  constructor(code, detail) {
    super(PLAIN[code] ?? "The server refused this file.");
    this.detail = detail;
  }
}

export async function askModel() {
  return (await asked("model")).json();
}

export async function predict(file, slices, signal) {
  const body = new FormData();
  body.append("files", file);
  const query = new URLSearchParams({ heatmap: "true", slices });
  for (let tries = 1; ; tries += 1) {
    const answer = await asked(`predict?${query}`, { method: "POST", body, signal });
    if (answer.ok) return (await answer.json()).files[0];
    const { error } = await answer.json().catch(() => ({ error: { code: "internal" } }));
    if (!WAIT.has(error.code) || tries === TRIES_WHEN_BUSY) throw new Refused(error.code, error.message);
    await pause(Number(answer.headers.get("Retry-After") ?? 1), signal);
  }
}

async function asked(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw new Refused("unreachable", "");
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
