// Whatever a configuration holds, each way to read a key of it gives a value or throws wkv::Error.
#include "fuzz_text.h"
#include "mapping/checkpoint.h"

// Of what stands beside it in its file, and is not called here.
namespace wkv::zoo {
std::string dtype_name(c10::ScalarType) { std::abort(); }
QuantizedMatrix quantized_matrix(const TensorEntry&, const std::string&) { std::abort(); }
}  // namespace wkv::zoo

namespace {

using wkv::zoo::Config;

template <typename read_t>
void try_to_read(const read_t& read) {
  try {
    read();
  } catch (const wkv::Error&) {
  }
}

void read_every_way(Config& config, const std::string& key) {
  try_to_read([&] { config.expect(key, 4); });
  try_to_read([&] { config.expect(key, {"x070", "7"}); });
  try_to_read([&] { config.number(key, 0); });
  try_to_read([&] {
    if (const int64_t value = config.integer(key, 0); value < 0 || value > INT64_C(1) << 31) std::abort();
  });
  try_to_read([&] { config.flag(key, false); });
  try_to_read([&] { config.integers(key); });
  try_to_read([&] { config.ranges(key); });
  try_to_read([&] { config.require(key, {"relu"}); });
  try_to_read([&] { config.text(key, ""); });
  try_to_read([&] { config.says(key, "x070"); });
  try_to_read([&] {
    Config section = config.section(key);
    for (const std::string& inner : section.unknown_keys()) section.integer(inner, 0);
  });
}

}  // namespace

// Input: damage to a configuration, or what follows its first brace.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string good =
      R"({"config":{"n_layer":2,"version":"x070","eps":1e-5,"split":[1,[2,3]],"flag":true,"backbone":{"depth":2}}})";
  for (const std::string& text : {wkv::fuzz::damaged(good, input), "{" + std::string(input)}) {
    try_to_read([&, text = "{" + text.substr(std::min<size_t>(1, text.size()))] {
      Config config = wkv::zoo::read_config(text, "");
      for (const std::string& key : config.unknown_keys()) read_every_way(config, key);
    });
  }
  return 0;
}
