#include "catalogue/embedded_cards.h"

#include "embedded/embed.h"

WKV_EMBED(wkv_embedded_cards, WKV_CARDS_JSON);

namespace wkv::zoo {

std::string_view embedded_cards() {
  return {wkv_embedded_cards, static_cast<size_t>(wkv_embedded_cards_end - wkv_embedded_cards)};
}

}  // namespace wkv::zoo
