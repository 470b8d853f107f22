interface StatProps {
  name: string;
  value: string;
  unit?: string;
  note?: string;
}

export function Stat({ name, value, unit, note }: StatProps) {
  return (
    <div class="stat">
      <dt>{name}</dt>
      <dd>{value}{unit && <small> {unit}</small>}{note && <span class="stat-note">{note}</span>}</dd>
    </div>
  );
}
