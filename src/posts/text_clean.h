// The text of a post as the model and the index see it. Every function takes and gives UTF-8 and never throws.
#pragma once

#include <string>
#include <string_view>

namespace starling {

// In this order: invalid bytes become U+FFFD; HTML character references (&amp; &#39; &#x1f426;) are decoded once;
// control characters, byte order marks, zero-width spaces, soft hyphens and bidirectional overrides go (a joiner stays:
// emoji and some scripts need it); every run of spaces is one space, more than one empty line is one, lines and text
// have no spaces at their ends; Unicode NFC, last, since what went may have stood between a letter and its accent.
// clean_text(clean_text(x)) == clean_text(x) where x has no reference of a reference.
std::string clean_text(std::string_view text);

// Decodes character references; unknown ones stay as they are. 128 to 159 are read as Windows-1252, as HTML5 does.
std::string decode_html_entities(std::string_view text);

// Plain text of an HTML page: no tags, scripts or styles; line ends where blocks end, spaces for other tags but those
// within words and lines; references decoded.
std::string html_to_text(std::string_view html);

// Plain text as a post holds it, where clean_text() decodes references once more: those that stand in it are words
// about HTML, so their '&' becomes "&amp;".
std::string with_references(std::string_view plain);

// What the author wrote of a mail or a forum post: without quoted lines ("> ..."), the line that introduces them ("On
// Monday Bob wrote:"), a signature ("-- " and what follows), PGP armour, a copied original message and a list's footer.
std::string strip_quoted_text(std::string_view text);

void append_utf8(std::string& text, char32_t code_point);  // U+FFFD for what is not a character

}  // namespace starling
