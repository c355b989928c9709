// The same in C++, with the installed sock.hpp.
#include <sock.hpp>

#include <iostream>

int main()
{
    try {
        sock::Listener listener = sock::Listener::listen("127.0.0.1", "0");
        sock::Socket client = sock::Socket::open(listener.local_address().text(), nullptr);
        sock::Socket server = listener.accept();
        client.write("there and back\n");
        std::string line;
        if (!server.read_line(line) || line != "there and back")
            return 1;
    } catch (const sock::Error &error) {
        std::cerr << error.what() << '\n';
        return 2;
    }
    std::cout << sock::version_text() << '\n';
}
