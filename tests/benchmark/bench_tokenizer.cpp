// Speed of the World tokenizer, one thread: loading the published vocabulary, encoding the test vectors' text (prose
// and code in some 25 scripts) and, where WKV_BENCHMARK_TEXT names a file, that file.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "wkv/zoo/tokenizer.h"
#include "zoo/text_tokenizer_cases.h"

namespace {

std::string world_path() { return wkv::test::shared("data/tokenizers/rwkv_vocab_v20230424.txt").string(); }

void load_world(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(wkv::zoo::load_tokenizer(world_path()));
}
BENCHMARK(load_world)->Unit(benchmark::kMillisecond);

void encode_world(benchmark::State& state, const std::string& text) {
  const auto world = wkv::zoo::load_tokenizer(world_path());
  for (auto _ : state) benchmark::DoNotOptimize(world->encode(text));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

}  // namespace

int main(int argc, char** argv) {
  std::string mixed;
  for (const auto& vector : wkv::test::tokenizer_vectors()) mixed += vector.bytes;
  benchmark::RegisterBenchmark("encode_world/vectors", encode_world, mixed);
  if (const char* path = std::getenv("WKV_BENCHMARK_TEXT")) {
    std::stringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    benchmark::RegisterBenchmark("encode_world/file", encode_world, text.str());
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
