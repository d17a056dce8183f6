// Speed of the tokenizers that have vocabularies, one thread: loading the published files, encoding the test vectors'
// text (prose and code in some 25 scripts), a word of 100,000 letters and, where WKV_BENCHMARK_TEXT names a file, that
// file. No call of encode remembers another one's words.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "wkv/zoo/tokenizer.h"
#include "zoo/text_tokenizer_cases.h"

namespace {

void load(benchmark::State& state, const std::string& path) {
  for (auto _ : state) benchmark::DoNotOptimize(wkv::zoo::load_tokenizer(path));
}

void encode(benchmark::State& state, const std::string& path, const std::string& text) {
  const auto tokenizer = wkv::zoo::load_tokenizer(path);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer->encode(text));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

std::string long_word() {
  std::string word;
  for (unsigned i = 0, random = 1; i < 100'000; ++i, random = random * 1664525 + 1013904223)
    word += static_cast<char>('a' + (random >> 16) % 26);
  return word;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::pair<std::string, std::string>> texts = {{"vectors", ""}, {"long_word", long_word()}};
  for (const auto& vector : wkv::test::tokenizer_vectors()) texts[0].second += vector.bytes;
  if (const char* path = std::getenv("WKV_BENCHMARK_TEXT")) {
    std::stringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    texts.emplace_back("file", text.str());
  }
  for (const auto& [name, file] : {std::pair(std::string("world"), "rwkv_vocab_v20230424.txt"),
                                   {"gpt-neox-20b", "20B_tokenizer.json"},
                                   {"gpt2", "gpt2_merges.txt"}}) {
    const std::string path = wkv::test::shared("data/tokenizers") / file;
    benchmark::RegisterBenchmark(("load/" + name).c_str(), load, path)->Unit(benchmark::kMillisecond);
    for (const auto& [what, text] : texts) {
      benchmark::RegisterBenchmark(("encode/" + name + "/" + what).c_str(), encode, path, text)
          ->Unit(benchmark::kMillisecond);
    }
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
