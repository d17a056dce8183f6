// Continues a text with the model that comes with the library.
#include <wkv/wkv.h>

#include <cstdio>

int main() {
  auto model = wkv::zoo::load_language_model("embedded");  // or the path of a checkpoint
  auto tokenizer = wkv::zoo::load_tokenizer("bytes");
  auto result = wkv::generate(*model, *tokenizer, "In the beginning", {.max_tokens = 100, .seed = 1});
  std::printf("%s\n", result.text.c_str());
}
