// Whatever a card says, it is refused by wkv::Error or leads nowhere but to the file that it names: no path out of its
// folder, no address but of the web.
#include "catalogue/card.h"

#include <filesystem>

#include "fuzz_text.h"

namespace {

using namespace wkv::zoo;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_relative(const std::string& text) {
  const std::filesystem::path path(text);
  require(!text.empty() && path.is_relative() && text.find('\\') == std::string::npos &&
          text.find('\0') == std::string::npos);
  for (const auto& part : path) require(!part.empty() && part != "." && part != "..");
}

void check_files(const std::vector<RemoteFile>& files) {
  for (const RemoteFile& file : files) {
    check_relative(file.path);
    check_relative(file.revision);
    if (!file.repository.empty()) check_relative(file.repository);
    require(file.url.empty() ? !file.repository.empty() : file.url.starts_with("http") && file.sha256);
    require(!file.size || *file.size >= 0);
    require(!file.sha256 ||
            (file.sha256->size() == 64 && file.sha256->find_first_not_of("0123456789abcdef") == std::string::npos));
  }
}

}  // namespace

// Input: damage to a card, or a card.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string good =
      R"({"name":"a-1","aliases":["A"],"description":"d","family":"rwkv7","task":"text-generation",)"
      R"("source":{"repository":"o/n","revision":"main"},"files":[{"path":"f.pth","size":5,"sha256":null},)"
      R"({"path":"v.txt","url":"https://x/v","sha256":")" +
      std::string(64, 'a') + R"("}],"container":"pth","parameters":7,"config":{"x":[1]},"tokenizer":"world",)" +
      R"("figures":[{"metric":"m","data":"d","value":1.5,"unit":"%","conditions":null}],"kind":"vocabulary",)" +
      R"("verified":"tiny"})";
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  for (const std::string& text : {wkv::fuzz::damaged(good, input), std::string(input)}) {
    try {
      const auto json = parse_card_json(text, "card");
      check_files(read_data_card(json, "card").files);
      const Card card = read_card(json, "card");
      check_relative(card.name);
      check_files(card.files);
    } catch (const wkv::Error&) {
    }
  }
  return 0;
}
