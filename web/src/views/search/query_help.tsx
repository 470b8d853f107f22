interface QueryHelpProps {
  onTerm: (term: string) => void;
}

const kTerms: [string, string][] = [
  ["\"exact phrase\"", "words in this order"],
  ["from:alice", "written by"],
  ["@alice", "mentions"],
  ["#tag", "carries the hashtag"],
  ["in:community", "posted in"],
  ["lang:en", "written in"],
  ["since:2016-05-01", "on that day or later"],
  ["until:2016-06-01", "on that day or earlier"],
  ["min_likes:10", "liked at least so often"],
  ["-word", "without the word"],
  ["rain OR snow", "either"],
];

export function QueryHelp({ onTerm }: QueryHelpProps) {
  return (
    <details class="query-help">
      <summary>Query language</summary>
      <p>Words are searched by spelling and by meaning. Choose a term to add it:</p>
      <ul>
        {kTerms.map(([term, meaning]) => (
          <li key={term}>
            <button type="button" class="term" onClick={() => onTerm(term)}><code>{term}</code></button> <span>{meaning}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}
