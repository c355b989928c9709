/* The echo server over Asio (stand-alone): one io_context in one thread, callbacks, a buffer for each connection. */
#include <asio.hpp>
#include <array>
#include <memory>
#include "server.h"

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  explicit Connection(asio::ip::tcp::socket socket) : socket_(std::move(socket)) {}

  void read() {
    auto self = shared_from_this();
    socket_.async_read_some(asio::buffer(room_), [this, self](std::error_code error, std::size_t got) {
      if (!error) write(got);
    });
  }

 private:
  void write(std::size_t size) {
    auto self = shared_from_this();
    asio::async_write(socket_, asio::buffer(room_, size), [this, self](std::error_code error, std::size_t) {
      if (!error) read();
    });
  }

  asio::ip::tcp::socket socket_;
  std::array<char, ROOM> room_;
};

static void accept_next(asio::ip::tcp::acceptor &acceptor) {
  acceptor.async_accept([&acceptor](std::error_code error, asio::ip::tcp::socket socket) {
    if (!error) {
      std::error_code ignored;
      socket.set_option(asio::ip::tcp::no_delay(true), ignored);
      std::make_shared<Connection>(std::move(socket))->read();
    }
    accept_next(acceptor);
  });
}

int main() {
  asio::io_context context(1);
  asio::ip::tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  acceptor.listen(4096);
  server_ready(acceptor.local_endpoint().port());
  accept_next(acceptor);
  context.run();
}
