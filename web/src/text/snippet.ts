// The server's snippet is escaped text with <mark> round the query's words. It is never handed to innerHTML:
// it is cut into plain runs here, and anything that is not <mark> stays visible as the text it is.

export interface SnippetRun {
  text: string;
  marked: boolean;
}

const kEntities: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };

function codePoint(value: number): string {
  const valid = value > 0 && value <= 0x10ffff && !(value >= 0xd800 && value <= 0xdfff);
  return valid ? String.fromCodePoint(value) : "\ufffd";
}

export function unescapeEntities(text: string): string {
  return text.replace(/&(#x[0-9a-f]{1,6}|#\d{1,7}|amp|lt|gt|quot|apos|nbsp);/gi, (_, name: string) => {
    const lower = name.toLowerCase();
    if (lower.startsWith("#x")) return codePoint(parseInt(lower.slice(2), 16));
    if (lower.startsWith("#")) return codePoint(parseInt(lower.slice(1), 10));
    return kEntities[lower] ?? "";
  });
}

export function snippetRuns(html: string): SnippetRun[] {
  const runs: SnippetRun[] = [];
  let marked = false;
  for (const part of html.split(/(<\/?mark>)/i)) {
    const tag = part.toLowerCase();
    if (tag === "<mark>") marked = true;
    else if (tag === "</mark>") marked = false;
    else if (part) runs.push({ text: unescapeEntities(part), marked });
  }
  return runs;
}
