#include "core/fuzz.h"
#include "posts/part_files.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  static const FuzzFolder folder;
  static const Workspace workspace = Workspace::create(folder.path() / "workspace", "");
  static const bool ready = [] {
    std::filesystem::create_directories(part_file(workspace, {}, "json").parent_path());
    for (const char* extension : {"texts", "signatures", "records"})
      write_file_atomic(part_file(workspace, {}, extension), "");
    return true;
  }();
  if (ready) write_file_atomic(part_file(workspace, {}, "json"), text_of(data, size));
  may_be_refused([&] { read_part_manifest(workspace, {}); });
  return 0;
}
