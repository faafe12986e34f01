// Links in HTML pages that go through a proxy subresource: a page of a pod that says href="/x" has to lead
// back through the proxy, not to the API server's own /x. As apimachinery's proxy transport rewrites pages.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace orch::server {

/// Takes a page in pieces and gives it on with the URLs in its tags replaced; everything else, broken markup
/// too, stays byte for byte. Comments, and the text of scripts and the like, are no tags.
class HtmlLinks {
 public:
  /// `replace` gets the URL as the page has it.
  explicit HtmlLinks(std::function<std::string(std::string_view url)> replace)
      : replace_(std::move(replace)) {}
  /// What can be said of the page so far.
  std::string feed(std::string_view piece);
  /// The rest, after the last piece.
  std::string finish();

 private:
  bool step(std::string& out);
  bool text(std::string& out);
  bool tag(std::string& out);
  void start_tag(std::string_view tag, std::string& out);

  const std::function<std::string(std::string_view)> replace_;
  std::string held_;     // not said yet
  std::string raw_end_;  // "</script": what ends the raw text that it is in; "-->" in a comment
};

}  // namespace orch::server
