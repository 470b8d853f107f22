import { useState } from "preact/hooks";
import { type Deletion, type SearchHit } from "../../api/types";
import { remove } from "../../api/client";
import { ConfirmButton } from "../../components/confirm_button";
import { Icon, type IconName } from "../../components/icon";
import { ErrorNotice } from "../../components/notice";
import { Snippet } from "../../components/snippet";
import { href } from "../../shell/route";
import { may, useSession } from "../../shell/session";
import { compact, day, moment } from "../../text/format";
import { fieldTerm } from "./query_terms";

interface PostCardProps {
  hit: SearchHit;
  mark?: number; // the number by which an answer cites this post
  onDeleted: (deletion: Deletion) => void;
}

// A colour of the palette that stays with the author.
function tone(author: string): number {
  let sum = 0;
  for (const character of author) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) >>> 0;
  return sum % 5;
}

function Count({ icon, value, name }: { icon: IconName; value?: number; name: string }) {
  if (!value) return null;
  return <span class="post-count" title={`${value} ${name}`}><Icon name={icon} /><span>{compact(value)}</span><span class="visually-hidden"> {name}</span></span>;
}

function Scores({ hit }: { hit: SearchHit }) {
  return (
    <dl class="scores">
      <div><dt>score</dt><dd>{hit.score.toFixed(3)}</dd></div>
      <div><dt>words</dt><dd>{hit.lexical_score ? hit.lexical_score.toFixed(2) : "–"}</dd></div>
      <div><dt>meaning</dt><dd>{hit.vector_score ? hit.vector_score.toFixed(3) : "–"}</dd></div>
    </dl>
  );
}

function DeletePost({ id, onDeleted }: { id: string; onDeleted: (deletion: Deletion) => void }) {
  const [error, setError] = useState<Error>();
  const erase = async () => {
    try {
      onDeleted(await remove<Deletion>(`v1/posts/${encodeURIComponent(id)}`));
    } catch (problem) {
      setError(problem as Error);
    }
  };
  return (
    <>
      <ConfirmButton icon="trash" name="Delete" question="Delete for good?" onConfirm={() => void erase()} />
      {error && <ErrorNotice error={error} />}
    </>
  );
}

export function PostCard({ hit, mark, onDeleted }: PostCardProps) {
  const { info } = useSession();
  const [whole, setWhole] = useState(false);
  const { post } = hit;
  return (
    <article class="post" id={`post-${post.id}`} tabIndex={-1} aria-label={`Post by ${post.author}`}>
      <header>
        <span class={`avatar tone-${tone(post.author)}`} aria-hidden="true">{mark ?? (post.author.trim()[0]?.toUpperCase() || "?")}</span>
        <a class="post-author" href={href("search", { q: fieldTerm("from", post.author) })}>{post.author}</a>
        <time dateTime={post.time} title={moment(post.time)}>{day(post.time)}</time>
        {post.community && <a class="post-place" href={href("search", { q: fieldTerm("in", post.community) })}>{post.community}</a>}
        {post.language && <span class="post-language">{post.language}</span>}
      </header>
      <p class="post-text" dir="auto" lang={post.language}>
        {whole || !hit.snippet_html ? post.text : <Snippet html={hit.snippet_html} />}
      </p>
      <footer>
        <Count icon="heart" value={post.likes} name="likes" />
        <Count icon="repeat" value={post.reposts} name="reposts" />
        <Count icon="reply" value={post.replies} name="replies" />
        {hit.snippet_html && post.text.length > 140 && (
          <button type="button" class="button quiet small" aria-expanded={whole} onClick={() => setWhole(!whole)}>
            {whole ? "Only the match" : "Whole post"}
          </button>
        )}
        <Scores hit={hit} />
        {may(info, "posts") && <DeletePost id={post.id} onDeleted={onDeleted} />}
      </footer>
    </article>
  );
}
