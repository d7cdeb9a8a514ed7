/*
 * From C++: the headers are plain C and C++ alike; what is made is held by unique_ptr, and the
 * handler is a member function behind a lambda. No exception may leave a callback.
 *
 *   EVENTHUB_CONNECTION_STRING=... ./modern HUB STORE_FOLDER
 */
#include <tidemark/processor.h>
#include <tidemark/store_file.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

namespace {

template <auto free_it> struct freer {
    template <class T> void operator()(T *thing) const {
        free_it(thing);
    }
};
using client_ptr = std::unique_ptr<tmk_client, freer<tmk_client_free>>;
using processor_ptr = std::unique_ptr<tmk_processor, freer<tmk_processor_free>>;

struct store_holder {
    tmk_store store{};
    ~store_holder() {
        tmk_store_free(store);
    }
};

/* What the library said is wrong, as an exception. */
void must(tmk_status status, const tmk_error &error) {
    if (status < 0) {
        throw std::runtime_error(error.text);
    }
}

class counter {
  public:
    tmk_verdict handle(const tmk_event *event) {
        const tmk_slice key = tmk_event_key(event);
        const std::lock_guard<std::mutex> guard(lock_);
        counts_[std::string(reinterpret_cast<const char *>(key.bytes), key.size)]++;
        return TMK_DONE;
    }
    void print() {
        const std::lock_guard<std::mutex> guard(lock_);
        for (const auto &[key, count] : counts_) {
            std::cout << key << ' ' << count << '\n';
        }
    }

  private:
    std::mutex lock_;
    std::map<std::string, unsigned long> counts_;
};

void run(const char *hub, const char *folder, counter &counts, const sigset_t &signals) {
    tmk_error error{};
    tmk_client *made_client = nullptr;
    tmk_processor *made = nullptr;
    store_holder store;

    tmk_client_options c;
    tmk_client_options_init(&c);
    c.connection_string = std::getenv("EVENTHUB_CONNECTION_STRING");
    c.hub = hub;
    must(tmk_client_new(&c, &made_client, &error), error);
    const client_ptr client(made_client);

    tmk_store_file_options s;
    tmk_store_file_options_init(&s);
    s.folder = folder;
    s.host = tmk_client_host(client.get());
    s.hub = tmk_client_hub(client.get());
    must(tmk_store_file_new(&s, &store.store, &error), error);

    tmk_processor_options p;
    tmk_processor_options_init(&p);
    p.user = &counts;
    p.on_event = [](void *user, const tmk_event *event, tmk_delivery *) -> tmk_verdict {
        try {
            return static_cast<counter *>(user)->handle(event);
        } catch (...) {
            return TMK_RETRY;
        }
    };
    must(tmk_processor_new(client.get(), store.store, &p, &made, &error), error);
    const processor_ptr processor(made);
    must(tmk_processor_start(processor.get(), &error), error);
    int number = 0;
    sigwait(&signals, &number);
    must(tmk_processor_stop(processor.get(), 30000, nullptr, &error), error);
}

} // namespace

int main(int argc, char **argv) try {
    counter counts;
    sigset_t signals;
    if (argc != 3) {
        throw std::runtime_error("usage: modern HUB STORE_FOLDER");
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    run(argv[1], argv[2], counts, signals);
    counts.print();
    return 0;
} catch (const std::exception &e) {
    std::cerr << "modern: " << e.what() << '\n';
    return 1;
}
