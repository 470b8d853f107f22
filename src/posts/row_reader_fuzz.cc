#include "core/fuzz.h"
#include "posts/row_reader.h"

// Which format, then the file.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  std::string_view input = text_of(data, size);
  const auto format = static_cast<RowFormat>(take_choice(input) % (static_cast<int>(RowFormat::kReddit) + 1));
  const FuzzFile file(input);
  may_be_refused([&] {
    RowOptions options;
    options.format = format;
    options.derive_ids = true;
    options.max_row_bytes = 4096;
    options.author_key = "key";
    const std::unique_ptr<RowReader> reader = RowReader::open(file.path(), options);
    for (Row row; reader->next(row);)
      if (row.raw.size() > 4096) std::abort();
  });
  return 0;
}
