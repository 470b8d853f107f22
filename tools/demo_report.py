"""Renders demo/report.json as one HTML page that needs nothing else: text, tables and SVG plots."""
import html

STYLE = """
:root { color-scheme: light dark; --ink:#1d2430; --soft:#5b6675; --line:#d9dee6; --paper:#fbfbf9; --card:#fff; --accent:#1f6f8b;
        --good:#2b7a4b; --bad:#b3402e; }
@media (prefers-color-scheme: dark) { :root { --ink:#e6e9ee; --soft:#9aa5b4; --line:#2d3542; --paper:#12161c; --card:#1a2029;
        --accent:#6cc3dd; --good:#74c794; --bad:#ef8a78; } }
body { margin:0 auto; max-width:60rem; padding:2.5rem 1.25rem 5rem; background:var(--paper); color:var(--ink);
       font:16px/1.55 system-ui, sans-serif; }
h1 { font-size:1.9rem; letter-spacing:-.02em; margin:0 0 .25rem; } h2 { font-size:1.15rem; margin:2.5rem 0 .75rem; }
p.lead, .soft { color:var(--soft); } code { font-size:.86em; }
table { border-collapse:collapse; width:100%; font-variant-numeric:tabular-nums; }
td, th { text-align:left; padding:.35rem .75rem .35rem 0; border-bottom:1px solid var(--line); vertical-align:top; }
.figures { display:grid; grid-template-columns:repeat(auto-fit,minmax(9rem,1fr)); gap:.75rem; margin:1.5rem 0; }
.figure { background:var(--card); border:1px solid var(--line); border-radius:.6rem; padding:.8rem 1rem; }
.figure b { display:block; font-size:1.45rem; letter-spacing:-.01em; } .figure span { color:var(--soft); font-size:.85rem; }
.card { background:var(--card); border:1px solid var(--line); border-radius:.6rem; padding:1rem 1.25rem; margin:.75rem 0; }
.good { color:var(--good); } .bad { color:var(--bad); } blockquote { margin:.5rem 0; padding-left:1rem; border-left:3px solid var(--accent); }
svg { max-width:100%; height:auto; } .bar { fill:var(--accent); } .bar.other { fill:var(--line); } svg text { fill:var(--ink); font:13px system-ui, sans-serif; }
"""


def text(value):
    return html.escape(str(value))


def bars(rows, unit, highlight):
    """Horizontal bars: rows of (label, value); the highlighted labels in the accent colour."""
    rows = [(label, value) for label, value in rows if value is not None]
    widest = max((value for _, value in rows), default=1) or 1
    parts = []
    for index, (label, value) in enumerate(rows):
        y = index * 30
        kind = "bar" if label in highlight else "bar other"
        parts.append(f'<text x="0" y="{y + 19}">{text(label)}</text>'
                     f'<rect class="{kind}" x="190" y="{y + 5}" width="{400 * value / widest:.1f}" height="20" rx="3"/>'
                     f'<text x="{196 + 400 * value / widest:.1f}" y="{y + 19}">{value:.3f}</text>')
    label = text(", ".join(f"{name} {value:.3f}" for name, value in rows))
    return (f'<svg viewBox="0 0 680 {30 * len(rows)}" role="img" aria-label="{label} {text(unit)}">{"".join(parts)}</svg>'
            f'<p class="soft">{text(unit)}</p>')


def table(header, rows):
    head = "".join(f"<th>{text(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def figures(pairs):
    return '<div class="figures">' + "".join(
        f'<div class="figure"><b>{text(value)}</b><span>{text(name)}</span></div>' for name, value in pairs) + "</div>"


def page(title, lead, sections):
    body = "".join(f"<section><h2>{text(name)}</h2>{content}</section>" for name, content in sections)
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>{text(title)}</title><style>{STYLE}</style><h1>{text(title)}</h1><p class=\"lead\">{text(lead)}</p>{body}</html>\n")


def posts_section(report):
    prepare = report["prepare"]
    rows = [["read", prepare["posts"]]]
    rows += [[f"dropped: {name.replace('_', ' ')}", count] for name, count in prepare["dropped"].items() if count]
    rows += [["kept for training", prepare["train"]["posts"]], ["kept for validation, the later posts", prepare["valid"]["posts"]]]
    return table(["posts", "count"], rows)


def model_section(report, folder):
    training, bits = report["training"], report["evaluation"]["bits_per_byte"]
    shown = figures([("parameters", f"{training['parameters'] / 1e6:.1f} M"), ("tokens trained", f"{training['tokens'] / 1e6:.2f} M"),
                     ("tokens a second", f"{training['tokens_per_s']:,.0f}"),
                     ("of the measured product peak", f"{100 * training['fraction_of_peak']:.0f} %"),
                     ("bits per byte, later posts", f"{bits['model']:.3f}")])
    plot = (folder / "runs/own/loss.svg").read_text(encoding="utf-8")
    names = {"model": "Starling's model", "five_gram": "5-gram, Kneser-Ney", "unigram": "unigram", "xz": "xz -9e"}
    rows = [(names[name], value) for name, value in sorted(bits.items(), key=lambda item: item[1])]
    return shown + plot + bars(rows, "bits per byte of the later posts; lower is better", {"Starling's model"})


def hit_list(hits):
    return "".join(f"<blockquote>{text(hit['text'])} <code>{text(hit['id'])}</code></blockquote>" for hit in hits) or "<p>nothing</p>"


def search_section(report):
    held_out = report["search"]["held_out"]
    rows = [(row["stage"], row["ndcg_10"]) for row in held_out["stages"]]
    parts = [bars(rows, "nDCG@10 on pairs held out by time", {"ranked", "fused"})]
    for example in report["search"]["examples"]:
        parts.append(f'<div class="card"><b>{text(example["query"])}</b><p class="soft">without the model</p>{hit_list(example["without_model"][:2])}'
                     f'<p class="soft">with the model</p>{hit_list(example["with_model"][:2])}</div>')
    return "".join(parts)


def ask_section(report):
    ask = report["search"]["ask"]
    answer = "".join(f"<p>{text(sentence['text'])} " + " ".join(f"<code>{text(post)}</code>" for post in sentence["post_ids"]) + "</p>"
                     for sentence in ask["sentences"])
    return f'<div class="card"><b>{text(ask["question"])}</b>{answer or "<p>no answer in the posts</p>"}</div>'


def variant_card(variant):
    kind = "bad" if variant["state"] == "rejected" else "good"
    claims = table(["claim", "kind", "proof"], [[claim["text"], claim["kind"],
                   (claim["fact_id"] or "states nothing") if claim["supported"] else "✗ " + claim["reason"]] for claim in variant["claims"]])
    why = f'<p class="bad">{text("; ".join(variant["reasons"]))}</p>' if variant["reasons"] else ""
    return (f'<div class="card"><b>{text(variant["headline"])}</b> <span class="{kind}">{text(variant["state"])}</span>'
            f'<p>{text(variant["body"])}</p><p class="soft">{text(variant["label"])}</p>{claims}{why}</div>')


def ads_section(report):
    campaign = report["ads"]["campaign"]
    audiences = table(["audience", "authors", "posts", "why"],
                      [[item["name"], item["authors"], item["posts"], item["reason"]] for item in campaign["audiences"]] +
                      [[item["name"], "refused", "", item["reason"]] for item in campaign["refused_audiences"]])
    return audiences + "".join(variant_card(variant) for variant in campaign["variants"][:8])


def auction_section(report):
    decision = report["auction"]["decision"]
    if not decision["ad"]:
        return f"<p>No ad: {text(decision['reason'])}</p>"
    ad = decision["ad"]
    events = ", ".join(f"{event['type']} {'counted' if event['recorded'] else 'known already'}" for event in report["auction"]["events"])
    return (f'<div class="card"><b>{text(ad["headline"])}</b><p>{text(ad["body"])}</p><p class="soft">{text(ad["label"])}</p>'
            f'<p>Price {ad["price_micros"] / 1e6:.6f} {text(ad["currency"])}. {text(ad["why_this_ad"])}</p><p class="soft">{text(events)}</p></div>')


def deletion_section(report):
    deletion = report["deletion"]
    found = "still found" if deletion["found_after"] else "gone from the next request on"
    checkpoints = ", ".join(deletion["report"]["checkpoints"]) or "none"
    return f'<p>Post <code>{text(deletion["post"])}</code>: {found}. Checkpoints that saw it: {text(checkpoints)}.</p>'


def commands_section(report):
    return table(["command", "seconds"], [[step["command"], step["seconds"]] for step in report["steps"]])


def render(report, folder):
    sections = [("Posts", posts_section(report)), ("The model", model_section(report, folder)), ("Search", search_section(report)),
                ("Ask", ask_section(report)), ("Advertisement", ads_section(report)), ("Auction", auction_section(report)),
                ("Deletion", deletion_section(report)), ("Commands", commands_section(report))]
    lead = f"What this machine did in {report['seconds'] / 60:.0f} minutes, every figure as the commands below printed it."
    return page("Starling's demo", lead, sections)
