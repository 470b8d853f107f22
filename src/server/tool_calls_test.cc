#include "server/tool_calls.h"

#include <gtest/gtest.h>

#include "infer/tool_style.h"

namespace starling {
namespace {

std::string arguments_of(const ToolForm& form, const std::string& answer) {
  ToolCallReader reader(form);
  std::string arguments;
  for (const char c : answer) arguments += reader.push({&c, 1}).arguments;
  return arguments + reader.finish().arguments;
}

// A call ends at the answer's limit wherever that is. The closing text may begin as the arguments end.
TEST(ToolCallReader, TheArgumentsOfACallThatIsCutOffHaveNothingOfTheClosingText) {
  const ToolForm forms[] = {own_tool_form(),
                            {"{\"name\": \"", "\", \"parameters\": ", "}"},
                            {"[TOOL_CALLS] [{\"name\": \"", "\", \"arguments\": ", "}]"}};
  const std::string arguments = R"({"place": {"city": "Bergen}", "days": [{"n": 1}]}})";
  for (const ToolForm& form : forms) {
    const std::string head = form.open + "get_weather" + form.middle, call = head + arguments + form.close;
    for (size_t size = head.size(); size <= call.size(); ++size)
      EXPECT_EQ(arguments_of(form, call.substr(0, size)), arguments.substr(0, size - head.size())) << form.close;
  }
}

}  // namespace
}  // namespace starling
