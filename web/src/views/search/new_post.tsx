import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { post } from "../../api/client";
import { useRequest } from "../../api/use_request";
import { TextField } from "../../components/field";
import { Icon } from "../../components/icon";
import { ErrorNotice } from "../../components/notice";
import { useSession } from "../../shell/session";

interface Created {
  id: string;
  created: boolean;
}

// A dialog that writes one post; the id is made here so that sending it twice makes one post.
export function NewPost({ onClose }: { onClose: (author?: string) => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const { reloadInfo } = useSession();
  const { error, loading, run } = useRequest<Created>();
  const [id] = useState(() => `page-${crypto.getRandomValues(new Uint32Array(3)).join("-")}`);
  const [author, setAuthor] = useState("");
  const [community, setCommunity] = useState("");
  const [text, setText] = useState("");
  useLayoutEffect(() => dialog.current?.showModal(), []);

  const submit = async (event: Event) => {
    event.preventDefault();
    const body = {
      id, author: author.trim(), text, time: `${new Date().toISOString().slice(0, 19)}Z`,
      ...(community.trim() && { community: community.trim() }),
    };
    if (!await run((signal) => post("v1/posts", body, signal))) return;
    reloadInfo();
    onClose(body.author);
  };

  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="new-post-title" onClose={() => onClose()}>
      <form onSubmit={submit}>
        <h2 id="new-post-title">New post</h2>
        <TextField label="Author" value={author} onValue={setAuthor} required />
        <TextField label="Community" hint="May stay empty." value={community} onValue={setCommunity} />
        <TextField label="Text" hint="Hashtags and mentions are taken from the text." rows={5} value={text} onValue={setText} required />
        {error && <ErrorNotice error={error} />}
        <div class="dialog-buttons">
          <button type="button" class="button" onClick={() => dialog.current?.close()}>Cancel</button>
          <button type="submit" class="button primary" disabled={loading || !author.trim() || !text.trim()}>
            <Icon name="plus" /> {loading ? "Saving…" : "Post it"}
          </button>
        </div>
      </form>
    </dialog>
  );
}
