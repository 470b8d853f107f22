#include "infer/text_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenizer/utf8.h"

namespace starling {
namespace {

struct Streamed {
  std::vector<std::string> pieces;
  std::string text;
  bool stopped;
};

Streamed stream(const std::vector<std::string>& tokens, std::vector<std::string> stop) {
  TextStream text(std::move(stop));
  Streamed result{};
  for (const std::string& token : tokens) {
    result.pieces.push_back(text.push(token));
    if (text.stopped()) break;
  }
  result.pieces.push_back(text.finish());
  for (const std::string& piece : result.pieces) result.text += piece;
  result.stopped = text.stopped();
  return result;
}

TEST(TextStream, GivesWholeCharactersOnly) {
  const Streamed s = stream({"a\xe2", "\x82", "\xac!", "\xf0\x9f", "\x98\x80"}, {});  // a € ! 😀
  EXPECT_THAT(s.pieces, testing::ElementsAre("a", "", "€!", "", "😀", ""));
}

TEST(TextStream, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(stream({"a\xff", "b"}, {}).text, "a\uFFFDb");
  EXPECT_EQ(stream({"a\xe2\x82"}, {}).text, "a\uFFFD\uFFFD");  // cut short at the end
  EXPECT_EQ(stream({"\xe2", "x"}, {}).text, "\uFFFDx");
}

TEST(TextStream, EndsBeforeAStopStringAcrossTokens) {
  struct Case {
    std::vector<std::string> tokens, stop;
    std::string text;
    bool stopped;
  };
  const Case cases[] = {
      {{"Hello", " world", "\nUs", "er: more"}, {"\nUser:"}, "Hello world", true},
      {{"ab", "ac"}, {"ad"}, "abac", false},
      {{"aaa", "b"}, {"aab"}, "a", true},
      {{"one STOP two"}, {"STOP"}, "one ", true},
      {{"x second first"}, {"first", "second"}, "x ", true},
      {{"ends with ST"}, {"STOP"}, "ends with ST", false},
      {{"abc"}, {""}, "abc", false},
      {{"STOP"}, {"STOP"}, "", true},
      {{"caf\xc3", "\xa9 au lait"}, {"é"}, "caf", true},
  };
  for (const Case& c : cases) {
    const Streamed s = stream(c.tokens, c.stop);
    EXPECT_EQ(s.text, c.text);
    EXPECT_EQ(s.stopped, c.stopped) << c.text;
  }
}

TEST(TextStream, ShowsNoPartOfAStopStringBeforeItIsDecided) {
  const Streamed s = stream({"go S", "T", "O", "x"}, {"STOP"});
  EXPECT_THAT(s.pieces, testing::ElementsAre("go ", "", "", "STOx", ""));
}

TEST(TextStream, AnyBytesComeOutAsValidUtf8) {
  for (unsigned seed = 1; seed < 200; ++seed) {
    TextStream text({"\x80\x41", "é"});
    std::string out;
    unsigned state = seed;
    for (int i = 0; i < 60; ++i) {
      state = state * 1664525 + 1013904223;
      out += text.push(std::string(1, static_cast<char>(state >> 24)));
    }
    out += text.finish();
    EXPECT_TRUE(is_valid_utf8(out)) << seed;
  }
}

}  // namespace
}  // namespace starling
