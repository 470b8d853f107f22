#include "posts/text_clean.h"

#include <gtest/gtest.h>

#include "core/random.h"
#include "posts/language.h"
#include "posts/personal_data.h"
#include "tokenizer/utf8.h"

namespace starling {
namespace {

TEST(CleanText, FollowsItsRules) {
  const std::pair<const char*, const char*> cases[] = {
      {"", ""},
      {"  a \t b  \r\n\r\n\r\n\r\nc  ", "a b\n\nc"},
      {"Tom &amp; Jerry &lt;3 &#39;x&#39; &#x1F426; &nbsp;&hellip;", "Tom & Jerry <3 'x' 🐦 …"},
      {"&unknown; & &; &#xffffff; AT&T", "&unknown; & &; \xef\xbf\xbd AT&T"},
      {"&#146;t &#128;5", "’t €5"},
      {"&amp;lt;", "&lt;"},                         // decoded once
      {"cafe\xcc\x81", "caf\xc3\xa9"},              // NFC
      {"cafe\xe2\x80\x8b\xcc\x81", "caf\xc3\xa9"},  // also where something went from between
      {"a\x07\xef\xbb\xbf\xe2\x80\x8b"
       "b\xc2\xad",
       "ab"},  // bell, BOM, zero-width space, soft hyphen
      {"evil\xe2\x80\xae"
       "txt",
       "eviltxt"},                           // right-to-left override
      {"\xc2\xa0x\xe3\x80\x80y", "x y"},     // no-break and ideographic space
      {"👩\xe2\x80\x8d🚀", "👩\xe2\x80\x8d🚀"},  // a joiner is part of an emoji
      {"bad \xff\xfe byte", "bad \xef\xbf\xbd\xef\xbf\xbd byte"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(clean_text(text), expected) << text;
}

TEST(CleanText, IsItsOwnFixedPointOnRandomBytes) {
  for (uint64_t round = 0; round < 500; ++round) {
    std::string bytes;
    for (uint64_t i = 0; i < round % 60; ++i) bytes += static_cast<char>(random_u64(7, round, i));
    const std::string once = clean_text(bytes);
    EXPECT_TRUE(is_valid_utf8(once));
    EXPECT_EQ(clean_text(once), once);
    detect_language(bytes);
    replace_personal_data(bytes);
    strip_quoted_text(bytes);
    html_to_text(bytes);
  }
}

TEST(HtmlToText, LeavesTheWords) {
  EXPECT_EQ(clean_text(html_to_text(
                "<html><style>b{}</style><p>Hello <b>world</b></p><script>x()</SCRIPT><br>a &lt; b<!-- no -->")),
            "Hello world\n\na < b");
  EXPECT_EQ(
      clean_text(html_to_text("<p><a href='x'>@<span>bo</span></a> <a>#<span>birds</span></a><br><a><span>https://"
                              "</span><span>a.example/wre</span><span>ns</span></a></p>")),
      "@bo #birds\nhttps://a.example/wrens");  // as Mastodon writes mentions, tags and links
  EXPECT_EQ(clean_text(html_to_text("W<b>r</b>en<td>a</td><td>b</td>")), "Wren a b");
  EXPECT_EQ(clean_text(html_to_text("1 <")), "1");
  EXPECT_EQ(clean_text(html_to_text("<script>never closed")), "");
}

TEST(HtmlToText, WhatIsReadAsAReferenceOnceIsTextForEver) {
  for (const char* text : {"write &lt; for <", "AT&T &amp;amp; &unknown; &", "&#38;lt;"})
    EXPECT_EQ(clean_text(with_references(text)), text);
  EXPECT_EQ(with_references("AT&T & co"), "AT&T & co");
}

TEST(StripQuotedText, LeavesWhatTheAuthorWrote) {
  const std::pair<const char*, const char*> cases[] = {
      {"Hello\nworld", "Hello\nworld"},
      {"On Monday Bob wrote:\n> old\n>> older\n\nnew", "\nnew"},
      {"On Mon, 1 Jan 2001, Bob\nBob@x.org wrote:\n\n> old\nnew", "\nnew"},
      {"new\n-- \nBob\nhttp://bob", "new"},
      {"Bob> old\nnew", "new"},
      {"x -> y\n>:(", "x -> y\n>:("},
      {"new\n____________________________________\nlist@example.org\n", "new"},
      {"new\n\n-----Original Message-----\nFrom: Bob\nold", "new"},
      {"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA1\n\nnew\n-----BEGIN PGP SIGNATURE-----\nabc", "\nnew"},
      {"&gt; quoted\nmine", "mine"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(strip_quoted_text(text), expected) << text;
}

TEST(Language, KnowsLanguagesAndWhenItDoesNot) {
  const std::pair<const char*, const char*> cases[] = {
      {"The weather is really nice today and we are going to the beach", "en"},
      {"Das Wetter ist heute wirklich schön und wir gehen an den Strand", "de"},
      {"Сегодня очень хорошая погода, и мы идём на пляж", "ru"},
      {"今日は天気がとても良いので、海に行きます", "ja"},
      {"老师说今天的天气非常好，我们去海边吧", "zh"},
      {"Angazi ukuthi kungani abantu bengazange basho lutho ngalokho", "zu"},  // in the large tables only
      {"Ĉu vi scias, kie estas la plej proksima stacidomo?", "eo"},
      {"haha nice", "und"},
      {"ok lol", "und"},
      {"12345 !!!", "und"},
      {"", "und"},
      {"@TheRealWeatherChannel https://example.org/the/weather/is/nice/today", "und"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(detect_language(text), expected) << text;
  EXPECT_EQ(language_code("Russian"), "ru");
  EXPECT_EQ(language_code("EN"), "en");
  EXPECT_EQ(language_code("pt-BR"), "pt");
  EXPECT_EQ(language_code("Klingonese"), "");
}

TEST(PersonalData, BecomesATypedMark) {
  const std::pair<const char*, const char*> cases[] = {
      {"write to bob.smith+x@mail.example.co.uk!", "write to [EMAIL]!"},
      {"<a@b.org>,c@d.com", "<[EMAIL]>,[EMAIL]"},
      {"server at 192.168.1.254:8080", "server at [IP]:8080"},
      {"2001:db8:0:1::ff00 is up", "[IP] is up"},
      {"IP:2001:db8::ff00, host:2001:db8::1: down", "IP:[IP], host:[IP]: down"},
      {"pay with 4111 1111 1111 1111 today", "pay with [CARD] today"},
      {"4111-1111-1111-1111, 378282246310005", "[CARD], [CARD]"},
      {"IBAN DE89 3704 0044 0532 0130 00 please", "IBAN [IBAN] please"},
      {"GB82WEST12345698765432.", "[IBAN]."},
      {"KD42 DE89 3704 0044 0532 0130 00", "KD42 [IBAN]"},  // behind what only begins like one
      {"+44 20 7946 0958 or +1 (555) 234-5678", "[PHONE] or [PHONE]"},
      {"(555) 234-5678", "[PHONE]"},
      {"1-800-555-1234 ext", "[PHONE] ext"},
      {"txt 07781482378 now", "txt [PHONE] now"},
      {"Tel: 030 1234567", "Tel: [PHONE]"},
      {"加我微信13812345678。", "加我微信[PHONE]。"},
      {"0800 123 4567 07781482378", "[PHONE] [PHONE]"},
      {"call me on 555 1234", "call me on [PHONE]"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(replace_personal_data(text), expected) << text;
}

TEST(PersonalData, WhatOnlyLooksLikeItStays) {
  const char* cases[] = {
      "on 2017-03-01 12:30:45 and 01-02-2017 10:00, 12.05.2017",
      "2017-2018 and 1914-18",
      "costs $1234567890 or 1,000,000,000 EUR",
      "£0800 123 4567",
      "version 1.2.3.4 and v10.0.19041.1 and 1.2.3.4.5",
      "Chrome 49.0.2623.112",
      "#5552345678 #07781482378",
      "id 1234567890123456",
      "4111 1111 1111 1112",
      "tweet 29098694198280192",
      "https://example.org/555-234-5678/4111111111111111",
      "@alice thanks",
      "@bob_smith@mail.example.org thanks",
      "a@b",
      "std::vector a::b::c ::",
      "at 12:30:45",
      "SHA1:0a:1b:2c:3d:4e:5f:6a:7b:8c:9d:0a:1b:2c:3d:4e:5f:6a:7b:8c:9d",
      "score 3-2, 10-9",
      "1345107919",
      "0.123456789 3.14159265358979",
      "GB82WEST12345698765433",
      "DE89 but no account",
      "1 2 3 4 5 6 7 8 9 10",
      "555-1234",
      "#1-800-555-1234",
      "ISBN 978-3-16-148410-0",
      "10.0.0.300",
      "000-000-0000",
      "lat 48.858370, 2.294481",
      "RFC 2616 section 14.2.1.1",
  };
  for (const char* text : cases) EXPECT_EQ(replace_personal_data(text), text);
}

TEST(PersonalData, CheckDigitsFollowTheirStandards) {
  EXPECT_TRUE(passes_luhn("79927398713"));  // the example of ISO/IEC 7812-1's annex
  EXPECT_FALSE(passes_luhn("79927398710"));
  EXPECT_TRUE(is_valid_iban("GB82WEST12345698765432"));  // the example of ISO 13616
  EXPECT_FALSE(is_valid_iban("GB82WEST12345698765423"));
}

TEST(PersonalData, IsCountedByKind) {
  PersonalDataCounts counts{};
  replace_personal_data("a@b.org c@d.org 192.168.0.1 call 555 1234567", &counts);
  EXPECT_EQ(counts, (PersonalDataCounts{2, 1, 1, 0, 0}));
}

}  // namespace
}  // namespace starling
