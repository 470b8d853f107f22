// Makes the query language's terms for links and facets; adds and removes those of facets.

// A name of several words stands in quotation marks.
export const fieldTerm = (field: "from" | "in", value: string) => `${field}:${/\s/.test(value) ? `"${value.replaceAll('"', "")}"` : value}`;

// The term that keeps only the posts a facet value counts.
export function facetTerm(field: string, value: string): string | null {
  switch (field) {
    case "author": return fieldTerm("from", value);
    case "community": return fieldTerm("in", value);
    case "language": return `lang:${value}`;
    case "hashtag": return `#${value.replace(/^#/, "")}`;
    case "day": return `since:${value} until:${value}`;
    default: return null;
  }
}

const words = (query: string) => query.trim().split(/\s+/).filter(Boolean);

export function hasTerm(query: string, term: string): boolean {
  return ` ${words(query).join(" ").toLowerCase()} `.includes(` ${term.toLowerCase()} `);
}

export function toggleTerm(query: string, term: string): string {
  const padded = ` ${words(query).join(" ")} `;
  const at = padded.toLowerCase().indexOf(` ${term.toLowerCase()} `);
  if (at < 0) return `${padded.trim()} ${term}`.trim();
  return (padded.slice(0, at) + padded.slice(at + term.length + 1)).trim();
}
