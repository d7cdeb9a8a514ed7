/* Lists of blobs, good, strange and hostile. */
#include "checkpoint/blob_xml.h"

#include "support/check.h"
#include "support/failing.h"

typedef struct seen {
    int count;
    char names[8][64], etags[8][64], owners[8][64];
    tmk_blob_lease leases[8];
    int64_t modified_us[8];
    bool folders[8];
    tmk_status answer;
} seen;

static tmk_status take(void *self, const tmk_blob_item *item) {
    seen *s = self;
    int i = s->count++;

    if (i < 8) {
        const char *owner = tmk_blob_meta_get(&item->meta, "ownerid");
        (void)snprintf(s->names[i], 64, "%s", item->name);
        (void)snprintf(s->etags[i], 64, "%s", item->etag);
        (void)snprintf(s->owners[i], 64, "%s", owner == NULL ? "(none)" : owner);
        s->leases[i] = item->lease;
        s->modified_us[i] = item->last_modified.us;
        s->folders[i] = item->folder;
    }
    return s->answer;
}

static tmk_status parse(const char *text, size_t size, seen *s, char next[64]) {
    tmk_str marker = TMK_STR_INIT;
    tmk_status st;

    memset(s, 0, sizeof *s);
    st = tmk_blob_list_parse(tmk_slice_of(text, size), take, s, &marker, NULL);
    (void)snprintf(next, 64, "%s", tmk_str_text(&marker));
    tmk_str_clear(&marker);
    return st;
}

#define LIST(blobs, after)                                                                      \
    "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"x\" "      \
    "ContainerName=\"c\"><Prefix>p/</Prefix><Marker/><MaxResults>5000</MaxResults>" blobs after \
    "</EnumerationResults>"

static const char plain[] =
    LIST("<Blobs>"
         "<Blob><Name>p/ownership/0</Name><Properties><Creation-Time>x</Creation-Time>"
         "<Last-Modified>Fri, 20 Nov 2026 21:00:00 GMT</Last-Modified><Etag>0x8D1</Etag>"
         "<LeaseStatus>locked</LeaseStatus><LeaseState>leased</LeaseState>"
         "<LeaseDuration>infinite</LeaseDuration></Properties>"
         "<Metadata><OwnerId>a &lt;b&gt; &amp; &quot;c&quot; &#65;</OwnerId></Metadata></Blob>"
         "<Blob><Name>p/ownership/1</Name><Properties><Etag>\"0x8D2\"</Etag>"
         "<LeaseState>available</LeaseState></Properties><Metadata><ownerid/></Metadata></Blob>"
         "<Blob><Name>p/ownership/2</Name><Properties><LeaseState>expired</LeaseState></Properties>"
         "<Metadata/><Tags><TagSet/></Tags></Blob>"
         "<Blob><Name>p/ownership/3</Name><Properties><LeaseState>leased</LeaseState>"
         "<LeaseDuration>fixed</LeaseDuration></Properties></Blob>"
         "<BlobPrefix><Name>p/x/</Name></BlobPrefix>"
         "</Blobs>",
         "<NextMarker>2!76!a+/=</NextMarker>");

static void a_list_is_read_as_the_service_writes_it(void) {
    char next[64];
    seen s;

    CHECK_EQ(TMK_OK, parse(plain, strlen(plain), &s, next));
    CHECK_EQ(5, s.count);
    CHECK_STR("2!76!a+/=", next);
    CHECK_STR("p/ownership/0", s.names[0]);
    CHECK_STR("0x8D1", s.etags[0]);
    CHECK_STR("a <b> & \"c\" A", s.owners[0]);
    CHECK(s.leases[0].held && s.leases[0].endless && !s.leases[0].fresh);
    CHECK_EQ(INT64_C(1795208400000000), s.modified_us[0]);
    CHECK_STR("0x8D2", s.etags[1]);
    CHECK_STR("", s.owners[1]);
    CHECK(!s.leases[1].held && s.leases[1].fresh);
    CHECK_STR("(none)", s.owners[2]);
    CHECK(!s.leases[2].held && !s.leases[2].fresh);
    CHECK(s.leases[3].held && !s.leases[3].endless);
    CHECK(!s.folders[0] && !s.folders[3] && s.folders[4]);
    CHECK_STR("p/x/", s.names[4]);
}

static void a_byte_order_mark_is_no_part_of_it(void) {
    char text[sizeof plain + 3] = "\xef\xbb\xbf";
    char next[64];
    seen s;

    memcpy(text + 3, plain, sizeof plain);
    CHECK_EQ(TMK_OK, parse(text, strlen(text), &s, next));
    CHECK_EQ(5, s.count);
}

static void empty_lists_and_pages_are_lists(void) {
    static const char *const lists[] = {
        LIST("<Blobs/>", "<NextMarker/>"), LIST("<Blobs></Blobs>", "<NextMarker></NextMarker>"),
        LIST("<Blobs />", ""), LIST("", ""), "<EnumerationResults/>"};
    char next[64];
    seen s;

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        CHECK_EQ(TMK_OK, parse(lists[i], strlen(lists[i]), &s, next));
        CHECK_EQ(0, s.count);
        CHECK_STR("", next);
    }
    CHECK_EQ(TMK_OK, parse(LIST("<Blobs/>", "<NextMarker>m</NextMarker>"),
                           strlen(LIST("<Blobs/>", "<NextMarker>m</NextMarker>")), &s, next));
    CHECK_STR("m", next);
}

static void a_list_that_is_cut_off_is_no_list(void) {
    char next[64];
    seen s;

    for (size_t size = 0; size < strlen(plain); size++) {
        CHECK_EQ(TMK_EPROTO, parse(plain, size, &s, next));
    }
}

static void folders_of_a_hierarchical_account_are_told(void) {
    static const char text[] = LIST(
        "<Blobs><Blob><Name>p/ownership</Name><Properties><ResourceType>directory</ResourceType>"
        "</Properties></Blob><Blob><Name>p/x</Name><Properties/><Metadata>"
        "<hdi_isfolder>true</hdi_isfolder></Metadata></Blob>"
        "<Blob><Name>p/0</Name></Blob></Blobs>",
        "");
    char next[64];
    seen s;

    CHECK_EQ(TMK_OK, parse(text, strlen(text), &s, next));
    CHECK(s.folders[0] && s.folders[1] && !s.folders[2]);
}

static void encoded_names_are_decoded(void) {
    static const char good[] =
        LIST("<Blobs><Blob><Name Encoded=\"true\">p%2Fa%20b</Name></Blob></Blobs>", "");
    static const char bad[] =
        LIST("<Blobs><Blob><Name Encoded=\"true\">p%2</Name></Blob></Blobs>", "");
    char next[64];
    seen s;

    CHECK_EQ(TMK_OK, parse(good, strlen(good), &s, next));
    CHECK_STR("p/a b", s.names[0]);
    CHECK_EQ(TMK_EPROTO, parse(bad, strlen(bad), &s, next));
}

/* Entities that grow, depth without end, names without end, things that are no list at all. */
static void hostile_documents_are_refused(void) {
    static const char bomb[] =
        "<!DOCTYPE l [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;\">]>"
        "<EnumerationResults><Blobs><Blob><Name>&b;&b;&b;</Name></Blob></Blobs>"
        "</EnumerationResults>";
    static const char outside[] = "<!DOCTYPE l SYSTEM \"file:///etc/passwd\"><EnumerationResults/>";
    static const char *const others[] = {bomb,
                                         outside,
                                         "",
                                         "not xml",
                                         "<html><body>proxy says no</body></html>",
                                         "<Error><Code>X</Code></Error>",
                                         "<EnumerationResults><Blobs><Blob/></Blobs>"
                                         "</EnumerationResults>",
                                         "<EnumerationResults>&nbsp;</EnumerationResults>",
                                         "<EnumerationResults></EnumerationResults><x/>"};
    char deep[4000] = "", next[64];
    seen s;

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        CHECK_EQ(TMK_EPROTO, parse(others[i], strlen(others[i]), &s, next));
        CHECK_EQ(0, s.count);
    }
    for (int i = 0; i < 1000; i++) {
        memcpy(deep + 3 * i, "<a>", 4);
    }
    CHECK_EQ(TMK_EPROTO, parse(deep, strlen(deep), &s, next));
}

static void a_text_has_a_bound(void) {
    static const char head[] = "<EnumerationResults><Blobs><Blob><Name>";
    size_t size = 40000;
    char *text = malloc(size), next[64];
    seen s;

    CHECK(text != NULL);
    memset(text, 'x', size);
    memcpy(text, head, sizeof head - 1);
    CHECK_EQ(TMK_EPROTO, parse(text, size, &s, next));
    free(text);
}

static void who_takes_the_items_may_end_it(void) {
    tmk_str next = TMK_STR_INIT;
    seen s = {.answer = TMK_ELIMIT};

    CHECK_EQ(TMK_ELIMIT, tmk_blob_list_parse(tmk_slice_str(plain), take, &s, &next, NULL));
    CHECK_EQ(1, s.count);
    tmk_str_clear(&next);
}

static void an_error_tells_its_code(void) {
    static const struct {
        const char *text, *code;
    } errors[] = {{"\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?><Error>"
                   "<Code>LeaseIdMissing</Code><Message>There is &lt;\nTime:x</Message></Error>",
                   "LeaseIdMissing"},
                  {"", ""},
                  {"<Error/>", ""},
                  {"<html><Code>x</Code></html>", ""},
                  {"{\"error\":\"x\"}", ""}};
    char code[64];

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        tmk_blob_error_parse(tmk_slice_str(errors[i].text), code);
        CHECK_STR(errors[i].code, code);
    }
}

static bool whole_list(void) {
    char next[64];
    seen s;

    return parse(plain, strlen(plain), &s, next) == TMK_OK && s.count == 5;
}

static void without_memory_there_is_no_half_list(void) {
    failing_each(whole_list);
}

int main(void) {
    return RUN(TEST(a_list_is_read_as_the_service_writes_it),
               TEST(a_byte_order_mark_is_no_part_of_it), TEST(empty_lists_and_pages_are_lists),
               TEST(a_list_that_is_cut_off_is_no_list),
               TEST(folders_of_a_hierarchical_account_are_told), TEST(encoded_names_are_decoded),
               TEST(hostile_documents_are_refused), TEST(a_text_has_a_bound),
               TEST(who_takes_the_items_may_end_it), TEST(an_error_tells_its_code),
               TEST(without_memory_there_is_no_half_list));
}
