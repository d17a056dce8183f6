// A file as a part of the library: WKV_EMBED(name, "/path") declares `const char name[], name_end[]` around its bytes.
#pragma once

// The assembler puts a file's bytes between two symbols of the read-only data.
#define WKV_EMBED(symbol, file)           \
  __asm__(                                \
      ".pushsection .rodata\n"            \
      ".hidden " #symbol                  \
      "\n"                                \
      ".hidden " #symbol                  \
      "_end\n"                            \
      ".global " #symbol                  \
      "\n"                                \
      ".global " #symbol "_end\n" #symbol \
      ":\n"                               \
      ".incbin \"" file "\"\n" #symbol    \
      "_end:\n"                           \
      ".popsection\n");                   \
  extern "C" const char symbol[], symbol##_end[]  // NOLINT(bugprone-macro-parentheses): names that are declared
