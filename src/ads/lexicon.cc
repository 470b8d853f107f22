#include "ads/lexicon.h"

#include <unordered_set>

namespace starling {
namespace {

using Words = std::unordered_set<std::string_view>;

const Words kFunctionWords = {
    "a",       "about",  "after",   "all",    "also",     "am",    "an",    "and",    "any",     "are",    "as",
    "at",      "away",   "be",      "been",   "before",   "being", "but",   "by",     "can",     "could",  "did",
    "do",      "does",   "down",    "during", "each",     "else",  "for",   "from",   "had",     "has",    "have",
    "having",  "he",     "her",     "here",   "him",      "his",   "how",   "i",      "if",      "in",     "into",
    "is",      "it",     "it's",    "its",    "just",     "let",   "let's", "like",   "me",      "might",  "mine",
    "my",      "of",     "on",      "one",    "onto",     "or",    "other", "our",    "ours",    "out",    "over",
    "own",     "per",    "she",     "should", "so",       "some",  "such",  "than",   "that",    "that's", "the",
    "their",   "them",   "then",    "there",  "these",    "they",  "this",  "those",  "through", "to",     "too",
    "up",      "us",     "was",     "we",     "we're",    "we've", "were",  "what",   "what's",  "when",   "where",
    "which",   "while",  "who",     "why",    "will",     "with",  "would", "yes",    "yet",     "you",    "you'll",
    "you're",  "you've", "your",    "yours",  "yourself", "i'm",   "we'll", "it'll",  "itself",  "until",  "till",
    "because", "since",  "between", "both",   "priced",   "cost",  "costs", "boasts",
};

const Words kInvitationWords = {
    "ask",        "begin",       "bring",       "brings",     "buy",       "call",      "check",     "choose",
    "click",      "come",        "comes",       "consider",   "coming",    "day",       "days",      "discover",
    "enjoy",      "everyone",    "everything",  "experience", "explore",   "featuring", "feature",   "features",
    "feel",       "find",        "friend",      "friends",    "get",       "getting",   "give",      "gives",
    "glad",       "go",          "hello",       "hear",       "hi",        "home",      "including", "include",
    "includes",   "interested",  "introducing", "invite",     "invited",   "join",      "keep",      "know",
    "learn",      "life",        "look",        "looking",    "love",      "made",      "make",      "makes",
    "making",     "maybe",       "meet",        "meets",      "morning",   "need",      "needs",     "now",
    "offer",      "offering",    "offers",      "open",       "order",     "pick",      "please",    "read",
    "ready",      "say",         "search",      "searching",  "see",       "share",     "sign",      "start",
    "started",    "take",        "takes",       "taste",      "tell",      "thank",     "thanks",    "think",
    "time",       "today",       "try",         "trying",     "use",       "using",     "visit",     "want",
    "wants",      "way",         "welcome",     "well",       "work",      "works",     "working",   "write",
    "equipped",   "provides",    "provide",     "designed",   "people",    "thing",     "things",    "place",
    "moment",     "evening",     "afternoon",   "week",       "weekend",   "together",  "wait",      "waiting",
    "word",       "words",       "website",     "page",       "site",      "link",      "shop",      "store",
    "details",    "information", "info",        "question",   "questions", "answer",    "curious",   "wondering",
    "imagine",    "picture",     "fan",         "fans",       "lover",     "lovers",    "reader",    "readers",
    "yourselves", "hey",         "dear",        "anyone",     "someone",   "set",       "put",       "run",
    "running",    "runs",        "live",        "enough",     "product",   "subscribe",
};

const Words kNegationWords = {
    "no",      "not",     "never",   "without",   "none",     "neither", "nor",    "nothing", "nobody",
    "cannot",  "can't",   "don't",   "doesn't",   "didn't",   "isn't",   "aren't", "won't",   "wouldn't",
    "wasn't",  "weren't", "haven't", "hasn't",    "non",      "zero",    "lacks",  "lacking", "minus",
    "nowhere", "hardly",  "barely",  "shouldn't", "couldn't", "ain't",   "avoid",  "avoids",
};

const Words kTimeBoundWords = {"from", "since", "after", "until", "till", "through", "by", "before", "to", "between"};

const Words kAbsoluteWords = {
    "best",       "better",     "cheapest",   "cheaper",     "lowest",    "lower",     "highest",    "higher",
    "fastest",    "faster",     "biggest",    "bigger",      "greatest",  "greater",   "finest",     "finer",
    "leading",    "leader",     "top",        "most",        "more",      "least",     "less",       "ultimate",
    "perfect",    "unbeatable", "unmatched",  "unrivalled",  "unrivaled", "only",      "first",      "number",
    "guaranteed", "guarantee",  "guarantees", "free",        "always",    "every",     "everywhere", "forever",
    "unlimited",  "absolutely", "completely", "totally",     "entirely",  "fully",     "proven",     "world's",
    "worst",      "worse",      "superior",   "unique",      "ideal",     "newest",    "latest",     "safest",
    "safer",      "strongest",  "stronger",   "longest",     "longer",    "lightest",  "lighter",    "easiest",
    "easier",     "smartest",   "smarter",    "freshest",    "fresher",   "favourite", "favorite",   "exclusive",
    "limited",    "certified",  "official",   "recommended", "award",     "winning",   "risk",       "instant",
    "instantly",  "same",       "equal",      "unlike",      "than",      "ever",      "premier",    "supreme",
};

}  // namespace

bool is_structural_word(std::string_view folded) { return kFunctionWords.contains(folded); }
bool is_invitation_word(std::string_view folded) { return kInvitationWords.contains(folded); }
bool is_negation_word(std::string_view folded) { return kNegationWords.contains(folded); }
bool is_time_bound_word(std::string_view folded) { return kTimeBoundWords.contains(folded); }
bool is_absolute_word(std::string_view folded) { return kAbsoluteWords.contains(folded); }

}  // namespace starling
