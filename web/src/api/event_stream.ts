// Server-sent events of an answer that is made while it is read.
import { ApiError, send } from "./client";

// Calls `onEvent` with each event's JSON until "[DONE]". An event that holds an error is thrown.
export async function streamEvents<T>(path: string, body: unknown, signal: AbortSignal, onEvent: (event: T) => void): Promise<void> {
  const response = await send("POST", path, body, signal);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  for (let held = ""; ;) {
    const { value, done } = await reader.read();
    if (done) throw new ApiError("The answer was cut short: the connection ended before it did. Try again.", response.status, "cut_short");
    const events = (held + value).split("\n\n");
    held = events.pop()!;
    for (const text of events) {
      const data = text.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new ApiError(String(event.error.message), response.status, String(event.error.code ?? ""));
      onEvent(event as T);
    }
  }
}
