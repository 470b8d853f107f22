import type { Claim } from "../api/types";

// A run of the copy, with the claim it belongs to (the first one where claims overlap).
export interface CopyRun {
  text: string;
  claim?: Claim;
}

// Claims hold UTF-8 byte offsets into headline + "\n" + body. Returns the runs of the bytes [begin, end) of that text.
function runsBetween(bytes: Uint8Array, begin: number, end: number, claims: Claim[]): CopyRun[] {
  const decoder = new TextDecoder();
  const runs: CopyRun[] = [];
  const push = (from: number, to: number, claim?: Claim) => {
    if (to > from) runs.push({ text: decoder.decode(bytes.subarray(from, to)), claim });
  };
  let at = begin;
  for (const claim of claims) {
    const from = Math.max(claim.begin, at);
    const to = Math.min(claim.end, end);
    if (to <= from) continue;
    push(at, from);
    push(from, to, claim);
    at = to;
  }
  push(at, end);
  return runs;
}

export function copyRuns(headline: string, body: string, claims: Claim[] = []): { headline: CopyRun[]; body: CopyRun[] } {
  const bytes = new TextEncoder().encode(`${headline}\n${body}`);
  const split = new TextEncoder().encode(headline).length;
  const ordered = [...claims].sort((a, b) => a.begin - b.begin || b.end - a.end);
  return {
    headline: runsBetween(bytes, 0, split, ordered),
    body: runsBetween(bytes, split + 1, bytes.length, ordered),
  };
}
