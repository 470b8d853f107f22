// The part of Markdown that model cards use, as data: headings, paragraphs, lists, tables, code blocks.
// Nothing here makes HTML, so text from a card can only ever be text.

export type Block =
  | { kind: "heading"; level: number; text: string }
  | { kind: "paragraph"; text: string }
  | { kind: "list"; items: string[] }
  | { kind: "code"; text: string }
  | { kind: "table"; head: string[]; rows: string[][] };

export type Inline = { kind: "text" | "code" | "strong"; text: string };

const kHeading = /^(#{1,6})\s+(.*)$/;
const kItem = /^\s*(?:[-*+]|\d+[.)])\s+(.*)$/;
const kRule = /^\s*\|?\s*:?-{2,}[\s|:-]*$/;

const cells = (line: string) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
const startsBlock = (line: string) => line.trim() === "" || kHeading.test(line) || kItem.test(line) || /^```/.test(line) || line.startsWith("|");

function takeWhile(lines: string[], from: number, holds: (line: string) => boolean): number {
  let end = from;
  while (end < lines.length && holds(lines[end]!)) end += 1;
  return end;
}

export function blocks(markdown: string): Block[] {
  const lines = markdown.split(/\r?\n/);
  const found: Block[] = [];
  for (let at = 0; at < lines.length;) {
    const line = lines[at]!;
    const heading = kHeading.exec(line);
    if (line.trim() === "") {
      at += 1;
    } else if (heading) {
      found.push({ kind: "heading", level: heading[1]!.length, text: heading[2]! });
      at += 1;
    } else if (line.startsWith("```")) {
      const end = takeWhile(lines, at + 1, (next) => !next.startsWith("```"));
      found.push({ kind: "code", text: lines.slice(at + 1, end).join("\n") });
      at = end + 1;
    } else if (line.startsWith("|")) {
      const end = takeWhile(lines, at, (next) => next.startsWith("|"));
      const [head = [], ...rows] = lines.slice(at, end).filter((row) => !kRule.test(row)).map(cells);
      found.push({ kind: "table", head, rows });
      at = end;
    } else if (kItem.test(line)) {
      const end = takeWhile(lines, at, (next) => kItem.test(next));
      found.push({ kind: "list", items: lines.slice(at, end).map((item) => kItem.exec(item)![1]!) });
      at = end;
    } else {
      const end = takeWhile(lines, at + 1, (next) => !startsBlock(next));
      found.push({ kind: "paragraph", text: lines.slice(at, end).join(" ") });
      at = end;
    }
  }
  return found;
}

export function inlines(text: string): Inline[] {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).filter(Boolean).map((part): Inline => {
    if (/^`[^`]+`$/.test(part)) return { kind: "code", text: part.slice(1, -1) };
    if (/^\*\*[^*]+\*\*$/.test(part)) return { kind: "strong", text: part.slice(2, -2) };
    return { kind: "text", text: part };
  });
}
