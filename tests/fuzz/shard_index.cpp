// Whatever an index of shards says, what is opened are the tensors of the files in its folder, each once.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "fuzz_text.h"
#include "wkv/zoo/tensor_entry.h"
#include "zoo/io_files.h"

namespace {

using namespace wkv::test;

std::string shard(const std::string& tensor) {
  return safetensors_file("{\"" + tensor + R"(":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", "ab");
}

// A folder with two shards, in memory where there is such a place.
std::filesystem::path make_folder() {
  const std::filesystem::path memory = "/dev/shm";
  const bool usable = access(memory.c_str(), W_OK) == 0;
  std::string name = ((usable ? memory : std::filesystem::temp_directory_path()) / "wkv-fuzz-XXXXXX").string();
  if (!mkdtemp(name.data())) std::abort();
  write_bytes(name + "/a", shard("x"));
  write_bytes(name + "/b", shard("y"));
  return name;
}

struct Folder {
  const std::filesystem::path path = make_folder();
  ~Folder() { std::filesystem::remove_all(path); }
};

}  // namespace

// Input: damage to an index, or an index.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string good = R"({"metadata":{"total_size":4},"weight_map":{"x":"a","y":"b"}})";
  for (const std::string& index : {wkv::fuzz::damaged(good, input), std::string(input)}) {
    try {
      std::set<std::string> names;
      for (const auto& entry : wkv::zoo::open_tensors(write_bytes(folder.path / "index.json", index)).entries) {
        const bool known = entry.name == "x" || entry.name == "y";
        if (!known || entry.shape != std::vector<int64_t>{2} || !names.insert(entry.name).second) std::abort();
      }
    } catch (const wkv::Error&) {
    }
  }
  return 0;
}
