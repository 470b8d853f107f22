import { type Block, blocks, inlines } from "../text/markdown";

function Line({ text }: { text: string }) {
  return (
    <>
      {inlines(text).map((part, i) => {
        if (part.kind === "code") return <code key={i}>{part.text}</code>;
        if (part.kind === "strong") return <strong key={i}>{part.text}</strong>;
        return part.text;
      })}
    </>
  );
}

function Table({ head, rows }: { head: string[]; rows: string[][] }) {
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label={head.join(", ")}>
      <table>
        <thead><tr>{head.map((cell, i) => <th key={i} scope="col"><Line text={cell} /></th>)}</tr></thead>
        <tbody>{rows.map((row, i) => <tr key={i}>{row.map((cell, j) => <td key={j}><Line text={cell} /></td>)}</tr>)}</tbody>
      </table>
    </div>
  );
}

function BlockView({ block }: { block: Block }) {
  switch (block.kind) {
    case "heading": return block.level <= 1 ? <h3 class="card-title"><Line text={block.text} /></h3> : <h4><Line text={block.text} /></h4>;
    case "list": return <ul>{block.items.map((item, i) => <li key={i}><Line text={item} /></li>)}</ul>;
    case "code": return <pre tabIndex={0}><code>{block.text}</code></pre>;
    case "table": return <Table head={block.head} rows={block.rows} />;
    case "paragraph": return <p><Line text={block.text} /></p>;
  }
}

export function Markdown({ text }: { text: string }) {
  return <div class="markdown">{blocks(text).map((block, i) => <BlockView key={i} block={block} />)}</div>;
}
