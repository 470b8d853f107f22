interface PartsBarProps {
  title: string;
  parts: { name: string; value: number }[];
  limit?: { name: string; value: number }; // what the parts must fit into
  show: (value: number) => string;
}

// A whole in its parts, as a bar and as a list that says the same in numbers.
export function PartsBar({ title, parts, limit, show }: PartsBarProps) {
  const total = parts.reduce((sum, part) => sum + part.value, 0);
  const width = Math.max(limit?.value ?? 0, total) || 1;
  return (
    <figure class="parts">
      <figcaption><strong>{title}</strong> <span>{show(total)}{limit && ` of ${show(limit.value)}`}</span></figcaption>
      <div class="parts-bar" aria-hidden="true">
        {parts.map((part, i) => <span key={part.name} class={`part-${i % 6}`} style={{ width: `${(part.value / width) * 100}%` }} />)}
      </div>
      <dl>
        {parts.map((part, i) => (
          <div key={part.name} class={part.value === 0 ? "nothing" : ""}>
            <dt><i class={`part-${i % 6}`} aria-hidden="true" /> {part.name.replaceAll("_", " ")}</dt>
            <dd>{show(part.value)}</dd>
          </div>
        ))}
        {limit && <div><dt><i aria-hidden="true" /> {limit.name}</dt><dd>{show(limit.value - total)}</dd></div>}
      </dl>
    </figure>
  );
}
