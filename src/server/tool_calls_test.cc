#include "server/tool_calls.h"

#include <gtest/gtest.h>

#include "infer/tool_style.h"
#include "server/http.h"

namespace starling {
namespace {

const ToolForm kForms[] = {own_tool_form(),
                           {"{\"name\": \"", "\", \"parameters\": ", "}"},
                           {"[TOOL_CALLS] [{\"name\": \"", "\", \"arguments\": ", "}]"}};

std::string arguments_of(const ToolForm& form, const std::string& answer) {
  ToolCallReader reader(form);
  std::string arguments;
  for (const char c : answer) arguments += reader.push({&c, 1}).arguments;
  return arguments + reader.finish().arguments;
}

// A call ends at the answer's limit wherever that is. The closing text may begin as the arguments end.
TEST(ToolCallReader, TheArgumentsOfACallThatIsCutOffHaveNothingOfTheClosingText) {
  const std::string arguments = R"({"place": {"city": "Bergen}", "days": [{"n": 1}]}})";
  for (const ToolForm& form : kForms) {
    const std::string head = form.open + "get_weather" + form.middle, call = head + arguments + form.close;
    for (size_t size = head.size(); size <= call.size(); ++size)
      EXPECT_EQ(arguments_of(form, call.substr(0, size)), arguments.substr(0, size - head.size())) << form.close;
  }
}

// What is held back, because it may be the closing text, is counted in bytes.
TEST(ToolCallReader, EveryPartOfTheArgumentsIsWholeCharacters) {
  const std::vector<std::string> pieces = {"{\"place\": \"", "Ærø", " – ", "日", "本", "🙂", "é\"}"};
  for (const ToolForm& form : kForms) {
    ToolCallReader reader(form);
    reader.push(form.open + "get_weather" + form.middle);
    std::string arguments, wanted;
    const auto add = [&](const ToolCallReader::Part& part) {
      EXPECT_TRUE(is_utf8(part.arguments)) << form.close << " after " << arguments;
      arguments += part.arguments;
    };
    for (const std::string& piece : pieces) wanted += piece, add(reader.push(piece));
    add(reader.push(form.close));
    add(reader.finish());
    EXPECT_EQ(arguments, wanted);
  }
}

}  // namespace
}  // namespace starling
