// One function talks to the server: it adds the key, and turns every failure into an ApiError that says what to do.

export class ApiError extends Error {
  constructor(message: string, readonly status: number, readonly code: string) {
    super(message);
  }
}

const kKeyName = "starling.key";
let onUnauthorized = () => {};

export const apiKey = {
  get: () => sessionStorage.getItem(kKeyName) ?? "",
  set: (key: string) => sessionStorage.setItem(kKeyName, key),
  forget: () => sessionStorage.removeItem(kKeyName),
  onRejected: (callback: () => void) => { onUnauthorized = callback; },
};

const kAdvice: Record<number, string> = {
  403: "Use a key with another role: the button with the key changes it.",
  404: "The server does not know this. It may have been deleted.",
  413: "That is larger than the server accepts.",
  429: "Too many requests. Wait a moment and try again.",
};

async function toError(response: Response): Promise<ApiError> {
  let message = "";
  let code = "";
  try {
    const { error } = await response.json();
    message = String(error?.message ?? "");
    code = String(error?.code ?? "");
  } catch {
    // Not the API's error shape: a proxy answered. The status says what is known.
  }
  const advice = kAdvice[response.status];
  const said = message || `The server answered ${response.status} ${response.statusText}`.trim();
  return new ApiError(advice ? `${said.replace(/[.\s]*$/, "")}. ${advice}` : said, response.status, code);
}

// A response whose status says that it went well; its body is still to be read.
export async function send(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = { Authorization: `Bearer ${apiKey.get()}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(path, {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError("The server cannot be reached. Is `starling serve` running?", 0, "unreachable");
  }
  if (response.status === 401) onUnauthorized();
  if (!response.ok) throw await toError(response);
  return response;
}

export async function request<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const response = await send(method, path, body, signal);
  try {
    return (await response.json()) as T;
  } catch {
    throw new ApiError("The server's answer was cut short or is not JSON. Try again.", response.status, "bad_answer");
  }
}

export const get = <T>(path: string, signal?: AbortSignal) => request<T>("GET", path, undefined, signal);
export const post = <T>(path: string, body: unknown, signal?: AbortSignal) => request<T>("POST", path, body, signal);
export const remove = <T>(path: string) => request<T>("DELETE", path);
