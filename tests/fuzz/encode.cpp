// Decoding what was encoded gives the text back: World any bytes; GPT-2's well-formed text but for the end-of-text
// tokens, which have no bytes; 20B's its normal form.
#include <cstdlib>

#include "text/bpe_tokenizer.h"
#include "text/nfc.h"
#include "text/world_tokenizer.h"
#include "text/world_vocabulary.h"
#include "wkv/zoo/utf8.h"
#include "zoo/text_bpe_cases.h"
#include "zoo/text_tokenizer_cases.h"

namespace {

using namespace wkv::zoo;

BpeTokenizer small_bpe(bool nfc) {
  BpeFile file =
      wkv::test::small_bpe_file({"e r", "t h", "th e", "\u0120 the", "\u00C3 \u00A9", "\u0120 \u0120", "a a", "aa aa"});
  file.added = {{"<|endoftext|>", 264, false}, {"  ", 265, true}, {"    ", 266, true}};
  file.nfc = nfc;
  return BpeTokenizer(check_bpe_file(file, "small"));
}

void require_equal(const std::string& decoded, std::string_view text) {
  if (decoded != text) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const WorldTokenizer world(
      parse_world_vocabulary(wkv::test::single_byte_lines() + "257 'the' 3\n258 '\\xe9' 2\n", "small"));
  static const BpeTokenizer gpt2 = small_bpe(false), neox = small_bpe(true);
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  require_equal(world.decode(world.encode(bytes)), bytes);

  Utf8Decoder utf8;
  std::string text = utf8.push(bytes);
  text += utf8.flush();
  const bool ends = text.find(kEndOfText) != std::string::npos;
  if (!ends) require_equal(neox.decode(neox.encode(bytes)), nfc(text));
  for (size_t at = 0; (at = text.find(kEndOfText, at)) != std::string::npos;) text.erase(at, kEndOfText.size());
  require_equal(gpt2.decode(gpt2.encode(bytes)), text);
  return 0;
}
