#include "posts/ingest.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/random.h"
#include "core/stop.h"
#include "posts/base64.h"
#include "posts/csv.h"
#include "posts/mail.h"
#include "posts/quarantine.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

class Ingest : public ::testing::Test {
 protected:
  fs::path folder_ = fs::temp_directory_path() / ("starling-ingest-" + random_hex(8));
  fs::path posts_ = folder_ / "posts", input_ = folder_ / "input";
  IngestOptions options_;

  void SetUp() override {
    fs::create_directories(input_);
    options_.rows.author_key = std::string(64, 'k');
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const std::string& content) {
    write_file_atomic(input_ / name, content);
    return input_ / name;
  }
  IngestReport run(const std::vector<fs::path>& files) {
    PostStore store(posts_);
    return ingest(store, posts_, files, options_);
  }
  std::vector<Post> stored() const {
    std::vector<Post> posts;
    PostStore(posts_).for_each([&](const Post& post) {
      posts.push_back(post);
      return true;
    });
    return posts;
  }
  std::string quarantine() const { return read_file(posts_ / "quarantine.jsonl"); }
};

std::string gzip(const std::string& text) {
  std::string bytes(compressBound(text.size()) + 64, '\0');
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  deflate(&stream, Z_FINISH);
  bytes.resize(stream.total_out);
  deflateEnd(&stream);
  return bytes;
}

std::string zstd(const std::string& text) {
  std::string bytes(ZSTD_compressBound(text.size()), '\0');
  bytes.resize(ZSTD_compress(bytes.data(), bytes.size(), text.data(), text.size(), 3));
  return bytes;
}

const char* kTwoPosts = "{\"id\":\"1\",\"text\":\"one\"}\n{\"id\":\"2\",\"text\":\"two\"}";

TEST_F(Ingest, PlainGzipAndZstdGiveTheSamePosts) {
  for (const std::string& content :
       {std::string(kTwoPosts), gzip(kTwoPosts), zstd(kTwoPosts), "\xef\xbb\xbf" + std::string(kTwoPosts),
        gzip("{\"id\":\"1\",\"text\":\"one\"}\n") + gzip("{\"id\":\"2\",\"text\":\"two\"}"),
        zstd("{\"id\":\"1\",\"text\":\"one\"}\n") + zstd("{\"id\":\"2\",\"text\":\"two\"}")}) {
    fs::remove_all(posts_);
    const IngestReport report = run({write("a", content)});
    EXPECT_EQ(report.added, 2u);
    EXPECT_EQ(report.failed_files.size(), 0u);
    EXPECT_EQ(stored().at(1).text, "two");
  }
}

TEST_F(Ingest, ASecondRunAddsNothing) {
  const fs::path file = write("a.jsonl", std::string(kTwoPosts) + "\nbad\n");
  EXPECT_EQ(run({file}).added, 2u);
  const std::string first = quarantine();
  const IngestReport again = run({file});
  EXPECT_EQ(again.added, 0u);
  EXPECT_EQ(again.known, 2u);
  EXPECT_EQ(stored().size(), 2u);
  EXPECT_EQ(quarantine(), first);
}

TEST_F(Ingest, MappedFieldsAreReadThroughObjectsAndLists) {
  options_.rows.map = FieldMap({"author=user.name", "text=title+body", "time=created_at",
                                "hashtags=entities.hashtags.text", "likes=n", "community==birds"});
  run({write("a.jsonl",
             R"({"id":7,"user":{"name":"al"},"title":"T","body":"B","created_at":"Wed Aug 27 13:08:45 +0000 2008",)"
             R"("entities":{"hashtags":[{"text":"x"},{"text":"y"}]},"n":"12","lang":null,"language":"Russian"})")});
  const Post post = stored().at(0);
  EXPECT_EQ(post.id, "7");
  EXPECT_EQ(post.author, "al");
  EXPECT_EQ(post.text, "T\n\nB");
  EXPECT_EQ(post.time_s, 1219842525);
  EXPECT_EQ(post.hashtags, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(post.likes, 12);
  EXPECT_EQ(post.community, "birds");
  EXPECT_EQ(post.language, "ru");
}

TEST_F(Ingest, AListInOneCellIsSplitAndAUrlWithCommasIsNot) {
  run({write(
      "a.csv",
      "id,text,hashtags,urls\n1,x,\"#a, b;c\",\"https://a.example/1,2;3|4, http://b.example,https://c.example\"\n")});
  EXPECT_EQ(stored().at(0).hashtags, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(stored().at(0).urls,
            (std::vector<std::string>{"https://a.example/1,2;3|4", "http://b.example", "https://c.example"}));
}

TEST_F(Ingest, BadRowsAreReportedAndKeptAndTheRestGoesOn) {
  options_.rows.max_row_bytes = 200;
  const fs::path file = write("a.jsonl",
                              "{\"id\":\"1\",\"text\":\"one\"}\nnot "
                              "json\n{\"id\":\"2\"}\n{\"id\":\"3\",\"text\":\"\xff\"}\n{\"id\":\"4\",\"text\":\"" +
                                  std::string(500, 'x') + "\"}\n{\"id\":\"5\",\"text\":\"five\"}\n");
  const IngestReport report = run({file});
  EXPECT_EQ(report.added, 2u);
  EXPECT_EQ(report.bad, 4u);
  ASSERT_EQ(report.problems.size(), 4u);
  EXPECT_NE(report.problems[0].find("a.jsonl:2: not JSON"), std::string::npos) << report.problems[0];
  EXPECT_NE(report.problems[1].find("a.jsonl:3: field `text`"), std::string::npos) << report.problems[1];
  EXPECT_NE(report.problems[2].find("a.jsonl:4:"), std::string::npos) << report.problems[2];
  EXPECT_NE(report.problems[3].find("a.jsonl:5: longer than 200 bytes"), std::string::npos) << report.problems[3];
  EXPECT_NE(quarantine().find("\"raw\":\"not json\""), std::string::npos) << quarantine();
  EXPECT_NE(quarantine().find(base64_encode("{\"id\":\"3\",\"text\":\"\xff\"}")), std::string::npos) << quarantine();
  EXPECT_NE(quarantine().find("\"cut\":true"), std::string::npos);
  const std::string kept = quarantine();
  EXPECT_EQ(std::count(kept.begin(), kept.end(), '\n'), 4);
}

// A file of each format whose second record has `middle` in it.
struct FormatCase {
  const char *name, *before, *after;
};
const FormatCase kFormats[] = {
    {"a.jsonl", "{\"id\":\"1\",\"text\":\"ok\"}\n{\"id\":\"2\",\"text\":\"", "\"}\n{\"id\":\"3\",\"text\":\"ok\"}\n"},
    {"a.csv", "id,text\n1,ok\n2,\"", "\"\n3,ok\n"},
    {"a.mbox",
     "From a@b Thu Aug 22 14:44:26 2002\nFrom: a@b\nMessage-ID: <1@x>\nSubject: s\n\nok\n\nFrom a@b Thu Aug 22 "
     "14:44:26 "
     "2002\nFrom: a@b\nMessage-ID: <2@x>\nSubject: s\n\n",
     "\n\nFrom a@b Thu Aug 22 14:44:26 2002\nFrom: a@b\nMessage-ID: <3@x>\nSubject: s\n\nok\n"},
    {"tweets.js",
     "window.YTD.tweets.part0 = [{\"tweet\":{\"id_str\":\"1\",\"full_text\":\"ok\"}},{\"tweet\":{\"id_str\":\"2\","
     "\"full_text\":\"",
     "\"}},\n{\"tweet\":{\"id_str\":\"3\",\"full_text\":\"ok\"}}]"},
};

TEST_F(Ingest, ARecordOfAGigabyteTakesBoundedMemoryInEachFormat) {  // zstd makes a small file of it
  const std::string block = zstd(std::string(32 << 20, 'x'));
  for (const FormatCase& format : kFormats) {
    fs::remove_all(posts_);
    std::string file = zstd(format.before);
    for (int i = 0; i < 32; ++i) file += block;
    file += zstd(format.after);
    const IngestReport report = run({write(std::string(format.name) + ".zst", file)});
    EXPECT_EQ(report.added, 2u) << format.name;
    EXPECT_EQ(report.bad, 1u) << format.name;
    EXPECT_LT(fs::file_size(posts_ / "quarantine.jsonl"), 100'000u) << format.name;
  }
}

TEST_F(Ingest, InvalidUtf8CostsItsRecordInEachFormat) {
  for (const FormatCase& format : kFormats) {
    if (std::string(format.name) == "a.mbox") continue;  // mail is of many charsets: read as Windows-1252 then
    fs::remove_all(posts_);
    const IngestReport report = run({write(format.name, std::string(format.before) + "caf\xe9" + format.after)});
    EXPECT_EQ(report.added, 2u) << format.name;
    EXPECT_EQ(report.bad, 1u) << format.name;
  }
}

TEST_F(Ingest, InvalidUtf8InAListCostsItsRecordAndTheStoreIsReadable) {
  const IngestReport report =
      run({write("a.csv", "id,text,hashtags,urls\n1,one,caf\xe9,\n2,two,,https://a.example/\xe9\n3,three,x,\n")});
  EXPECT_EQ(report.added, 1u);
  EXPECT_EQ(report.bad, 2u);
  EXPECT_EQ(stored().at(0).id, "3");
}

TEST_F(Ingest, TruncationsAndBitFlipsOfEachFormatNeverCrash) {
  const auto read_all = [&](const char* name, const std::string& content) {
    std::ofstream(input_ / name, std::ios::binary) << content;  // without the sync of write()
    uint64_t rows = 0;
    try {
      const auto reader = RowReader::open(input_ / name, options_.rows);
      for (Row row; reader->next(row);) ++rows;
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()), "");  // ingest() puts the name before it
    }
    return rows;
  };
  for (const FormatCase& format : kFormats) {
    const std::string whole = std::string(format.before) + "middle" + format.after;
    EXPECT_EQ(read_all(format.name, whole), 3u);
    for (size_t size = 0; size < whole.size(); ++size) EXPECT_LE(read_all(format.name, whole.substr(0, size)), 3u);
    for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
      std::string damaged = whole;
      damaged[bit / 8] ^= static_cast<char>(1 << (bit % 8));
      EXPECT_LE(read_all(format.name, damaged), 8u) << format.name << " bit " << bit;
    }
  }
}

TEST_F(Ingest, ADamagedCompressedFileKeepsWhatCameBeforeAndTheOtherFiles) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "{\"id\":\"" + std::to_string(i) + "\",\"text\":\"" + random_hex(8) + "\"}\n";
  for (const std::string& whole : {gzip(text), zstd(text)}) {
    fs::remove_all(posts_);
    const IngestReport report =
        run({write("a", whole.substr(0, whole.size() / 2)), write("b.jsonl", "{\"id\":\"b\",\"text\":\"b\"}\n")});
    EXPECT_EQ(report.failed_files.size(), 1u);
    EXPECT_NE(report.failed_files.at(0).find("truncated"), std::string::npos) << report.failed_files.at(0);
    EXPECT_GT(report.added, 1u);
    EXPECT_EQ(stored().back().id, "b");
  }
}

TEST_F(Ingest, BitFlipsNeverCrash) {
  std::string text;
  for (int i = 0; i < 200; ++i)
    text += "{\"id\":\"" + std::to_string(i) + "\",\"text\":\"post " + std::to_string(i * 7919) + "\"}\n";
  for (const std::string& whole : {text, gzip(text), zstd(text)})
    for (int round = 0; round < 60; ++round) {
      std::string damaged = whole;
      damaged[random_u64(5, 0, round) % whole.size()] ^= static_cast<char>(1 << (round % 8));
      const auto file = write("a", damaged);
      uint64_t rows = 0;
      try {
        const auto reader = RowReader::open(file, options_.rows);
        for (Row row; reader->next(row);) ++rows;
      } catch (const DataError& error) {
        EXPECT_NE(std::string(error.what()), "");
      }
      EXPECT_LE(rows, 1000u);  // a damaged magic makes compressed bytes look like lines
    }
}

TEST_F(Ingest, AfterKill9TheSameCommandGoesOn) {
  std::string text;
  for (int i = 0; i < 4000; ++i)
    text += "{\"id\":\"" + std::to_string(i) + "\",\"text\":\"post\"}\nbad " + std::to_string(i) + "\n";
  const fs::path file = write("a.jsonl", text);
  options_.segment_posts = 100;
  for (useconds_t round = 1; round <= 5; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      run({file});
      ::_exit(0);
    }
    ::usleep(round * 7000);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  const IngestReport report = run({file});
  EXPECT_EQ(report.added + report.known, 4000u);
  std::set<std::string> found;
  for (const Post& post : stored()) EXPECT_TRUE(found.insert(post.id).second) << post.id;
  EXPECT_EQ(found.size(), 4000u);
  for (int i : {0, 1999, 3999})
    EXPECT_NE(quarantine().find("\"bad " + std::to_string(i) + "\""), std::string::npos) << i;
}

TEST_F(Ingest, ADeletedPostStaysOut) {
  options_.is_deleted = [](const Post& post) { return post.id == "1"; };
  const IngestReport report = run({write("a.jsonl", kTwoPosts)});
  EXPECT_EQ(report.deleted, 1u);
  EXPECT_EQ(stored().size(), 1u);
}

TEST_F(Ingest, APossibleIdIsFoundInAnyBadRow) {
  const auto finds = [](const std::string& raw, const std::string& id) {
    const std::vector<std::string> ids = possible_ids(raw, "key");
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  EXPECT_TRUE(finds(R"({"id": "https:\/\/a.example\/1", "text": 5})", "https://a.example/1"));
  EXPECT_TRUE(finds(R"({"id":1234,"author":"Jane Doe")", "1234"));
  EXPECT_TRUE(finds(R"({"id":1234,"author":"Jane Doe")", "Jane Doe"));
  EXPECT_TRUE(finds(R"({"did":"did:plc:abc"}{)", "did:plc:abc"));
  EXPECT_TRUE(finds(R"({"did":"did:plc:al","commit":{"rkey":"3l3","record":{"text":5}}})",
                    "at://did:plc:al/app.bsky.feed.post/3l3"));
  EXPECT_TRUE(finds(R"({"id":"c1","body":"x","score":"many"})", "t1_c1"));
  EXPECT_TRUE(finds(R"({"id":"s1","title":"x","score":"many"})", "t3_s1"));
  EXPECT_TRUE(finds("12,\"a, b\",mallory\ttext", "mallory"));
  EXPECT_TRUE(finds("From: Bob <Bob@Mail.example>\nMessage-ID: <1@x>\n", mail_author("bob@mail.example", "key")));
  EXPECT_TRUE(finds("From: Bob <Bob@Mail.example>\nMessage-ID: <1@x>\n", "1@x"));
  EXPECT_FALSE(finds(R"({"id":1234,"text":"a 12345"})", "123"));
}

TEST_F(Ingest, ADeletionReachesBadRowsAndKeepsThemOut) {
  const fs::path file = write("a.jsonl",
                              "{\"id\":\"gone\",\"text\":{}}\n{\"id\":\"bad\",\"text\":{}}\n"
                              "{\"id\":\"gone\",\"text\":\"\xff\"}\n");
  EXPECT_EQ(run({file}).bad, 3u);
  const std::string all = quarantine();
  const auto is_gone = [](const std::string& id) { return id == "gone"; };
  EXPECT_EQ(purge_quarantine(posts_, is_gone), 2u);
  const std::string kept = quarantine();
  EXPECT_NE(kept.find("bad"), std::string::npos);
  EXPECT_EQ(kept.find("gone"), std::string::npos);
  EXPECT_LT(kept.size(), all.size() / 2);
  EXPECT_EQ(purge_quarantine(posts_, is_gone), 0u);
  options_.names_deleted = [&](const std::vector<std::string>& ids) {
    return std::any_of(ids.begin(), ids.end(), is_gone);
  };
  EXPECT_EQ(run({file}).bad, 3u);
  EXPECT_EQ(quarantine(), kept) << "read again, they stay out";
}

TEST_F(Ingest, ARowOfControlCharactersStaysWholeWhenAnotherGoes) {
  const std::string row(60'000, '\x01');  // six bytes each in the quarantine
  run({write("a.jsonl", row + "\n{\"id\":\"gone\",\"text\":{}}\n")});
  const std::string first = quarantine().substr(0, quarantine().find('\n') + 1);
  EXPECT_EQ(purge_quarantine(posts_, [](const std::string& id) { return id == "gone"; }), 1u);
  EXPECT_EQ(quarantine(), first);
}

TEST_F(Ingest, DerivedIdsAreTheSameInEveryRun) {
  options_.rows.derive_ids = true;
  const fs::path file = write("a.jsonl", "{\"text\":\"one\"}\n{\"text\":\"two\"}\n{\"text\":\"one\"}\n");
  EXPECT_EQ(run({file}).added, 2u);
  EXPECT_EQ(run({file}).added, 0u);
}

TEST_F(Ingest, FoldersAreReadInOrderWithAPattern) {
  write("b.txt", "x");
  write("a.txt", "x");
  write(".hidden.txt", "x");
  write("c.json", "x");
  const auto files = list_sources({input_.string()}, "*.txt");
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].filename(), "a.txt");
  EXPECT_THROW(list_sources({(folder_ / "missing").string()}, "*"), IoError);
}

TEST(FieldMaps, AnUnknownFieldNamesTheNearest) {
  try {
    const FieldMap map({"autor=user"});
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("author"), std::string::npos);
  }
  EXPECT_THROW(FieldMap({"text"}), ConfigError);
  EXPECT_THROW(FieldMap({"text="}), ConfigError);
}

TEST(PostTime, ReadsWhatPlatformsWrite) {
  const std::pair<const char*, int64_t> cases[] = {{"2017-03-01T12:00:00Z", 1488369600},
                                                   {"1488369600", 1488369600},
                                                   {"1488369600123", 1488369600},
                                                   {"1488369600.5", 1488369600},
                                                   {"Wed Aug 27 13:08:45 +0000 2008", 1219842525},
                                                   {"Thu, 22 Aug 2002 14:38:22 +0100", 1030023502},
                                                   {"22 Aug 02 9:38 EDT", 1030023480},
                                                   {"Thu, 22 Aug 2002 14:38:22 +0100 (BST)", 1030023502}};
  for (const auto& [text, time] : cases) EXPECT_EQ(parse_post_time(text), time) << text;
  for (const char* text : {"", "soon", "32 Aug 2002", "Aug", "12 13 14", "99999999999999999999999"})
    EXPECT_FALSE(parse_post_time(text)) << text;
}

std::vector<CsvReader::Record> csv_records(const std::string& text, size_t max_bytes = 1000) {
  const fs::path path = fs::temp_directory_path() / ("starling-csv-" + random_hex(8));
  write_file_atomic(path, text);
  const auto stream = ByteStream::open(path);
  CsvReader reader(*stream, max_bytes);
  std::vector<CsvReader::Record> records;
  for (CsvReader::Record record; reader.next(record);) records.push_back(record);
  fs::remove(path);
  return records;
}

TEST(Csv, FollowsRfc4180) {
  using Fields = std::vector<std::string>;
  const auto records =
      csv_records("\xef\xbb\xbfid,text\r\n1,plain\r\n2,\"a, b\"\r\n3,\"two\nlines \"\"quoted\"\"\"\n\n4,5\" disk\n");
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(records[0].fields, (Fields{"1", "plain"}));
  EXPECT_EQ(records[1].fields, (Fields{"2", "a, b"}));
  EXPECT_EQ(records[2].fields, (Fields{"3", "two\nlines \"quoted\""}));
  EXPECT_EQ(records[3].fields, (Fields{"4", "5\" disk"}));
  EXPECT_EQ(records[3].line, 7u);
}

TEST(Csv, AStrayQuoteCostsOneRow) {
  const auto records = csv_records("id;text\n1;\"never closed\n2;good\n3;good;extra\n");
  ASSERT_EQ(records.size(), 3u);
  EXPECT_NE(records[0].problem.find("not closed"), std::string::npos);
  EXPECT_EQ(records[1].fields[1], "good");
  EXPECT_NE(records[2].problem.find("3 fields where the header has 2"), std::string::npos);
}

TEST(Csv, ARecordOfLinesThatIsTooLongIsToldAndNeverCutInSilence) {
  const auto records = csv_records("id,note,text\n1,\"two\nlines\"," + std::string(100, 'x') + "\n2,\"" +
                                       std::string(20, 'y') + "\n" + std::string(20, 'y') + "\",z\n3,a,b\n",
                                   40);
  ASSERT_EQ(records.size(), 3u);
  for (int i : {0, 1}) {
    EXPECT_NE(records[i].problem.find("longer than 40 bytes"), std::string::npos) << records[i].problem;
    EXPECT_TRUE(records[i].too_long);
    EXPECT_LE(records[i].raw.size(), 40u);
  }
  EXPECT_EQ(records[2].fields[0], "3");
}

const char* kMail =
    "From: =?iso-8859-1?Q?Andr=E9?= <Andre@Example.org>\r\nDate: Thu, 22 Aug 2002 14:38:22 +0100\r\nMessage-ID: "
    "<m2@x>\r\n"
    "In-Reply-To: Your message <m1@x>\r\nList-Id: Birds <birds.example.org>\r\nSubject: [birds] "
    "=?utf-8?B?V8Okcm1l?=\r\n =?utf-8?Q?_hier?=\r\n"
    "Content-Type: multipart/alternative; boundary=\"b1\"\r\n\r\npreamble\r\n--b1\r\nContent-Type: text/plain; "
    "charset=iso-8859-1\r\n"
    "Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9 is=\r\n open\r\n--b1\r\nContent-Type: "
    "text/html\r\n\r\n<p>no</p>\r\n--b1--\r\n";

TEST(Mail, AMessageBecomesAPost) {
  const Post post = post_from_mail(kMail, "key");
  EXPECT_EQ(post.id, "m2@x");
  EXPECT_EQ(post.reply_to, "m1@x");
  EXPECT_EQ(post.community, "birds.example.org");
  EXPECT_EQ(post.time_s, 1030023502);
  EXPECT_EQ(post.text, "Wärme hier\n\ncafé is open");
  EXPECT_TRUE(post.author.starts_with("mail-"));
  EXPECT_EQ(to_json_line(post).find("xample.org>"), std::string::npos);
  EXPECT_EQ(to_json_line(post).find("ndre@"), std::string::npos);
  EXPECT_NE(post_from_mail(kMail, "other key").author, post.author);
}

TEST(Mail, ACharacterMayBeginInOneEncodedWordAndEndInTheNext) {
  const std::pair<const char*, const char*> cases[] = {
      {"=?utf-8?Q?caf=C3?= =?UTF-8?Q?=A9?= au lait", "café au lait"},
      {"=?utf-8?B?5pel5pw=?=\r\n =?utf-8?B?rOiqng==?=", "日本語"},
      {"=?utf-8?Q?caf=C3=A9?= =?iso-8859-1?Q?_cr=E8me?=", "café crème"},
      {"=?utf-8?Q?a?=b=?utf-8?Q?c?=", "abc"}};
  for (const auto& [header, text] : cases) EXPECT_EQ(decode_encoded_words(header), text) << header;
}

TEST(Mail, AReplyHasNoSubjectAndHtmlAloneBecomesText) {
  const Post post = post_from_mail(
      "From: a@b\nSubject: Re: [x] thing\nContent-Type: text/html; charset=utf-8\n\n<p>Hi &amp; bye</p>", "key");
  EXPECT_EQ(post.text, "Hi & bye");
  EXPECT_TRUE(post.id.starts_with("mail-"));
  EXPECT_THROW(post_from_mail("just text", "key"), DataError);
  EXPECT_THROW(post_from_mail("From: a@b\n\n", "key"), DataError);
}

TEST_F(Ingest, AnMboxIsSplitAtItsSeparators) {
  const std::string mbox =
      "From a@b Thu Aug 22 14:44:26 2002\nFrom: a@b\nMessage-ID: <1>\n\nFirst\n\nFrom here on it is the same "
      "message\n>From escaped\n\n"
      "From c@d Thu Aug 22 14:45:26 2002\nFrom: c@d\nMessage-ID: <2>\n\nSecond\n";
  EXPECT_EQ(run({write("x.mbox", mbox)}).added, 2u);
  EXPECT_EQ(stored().at(0).text, "First\n\nFrom here on it is the same message\nFrom escaped");
  EXPECT_EQ(stored().at(1).text, "Second");
}

TEST_F(Ingest, AnArchiveOfAMailingListWritesAddressesWithoutTheSign) {
  const auto message = [](const std::string& from, const std::string& id) {
    return "From " + from + "  Thu Aug 22 14:44:26 2002\nFrom: " + from + " (Bob B.)\nMessage-ID: <" + id +
           ">\n\nText\n\n";
  };
  const fs::path file = write("2002-August.txt", message("bob at a.example", "1") + message("bob at b.example", "2"));
  EXPECT_EQ(run({file}).added, 2u);
  EXPECT_EQ(stored().at(0).author, mail_author("bob@a.example", options_.rows.author_key));
  EXPECT_NE(stored().at(1).author, stored().at(0).author);
  const std::vector<std::string> ids = possible_ids("From: bob at a.example (Bob B.)\n", options_.rows.author_key);
  EXPECT_NE(std::find(ids.begin(), ids.end(), stored().at(0).author), ids.end());
}

TEST(Mail, TruncationsAndBitFlipsNeverCrash) {
  const std::string whole = kMail;
  for (size_t round = 0; round < whole.size() + 4000; ++round) {
    std::string damaged = round < whole.size() ? whole.substr(0, round) : whole;
    if (round >= whole.size()) damaged[random_u64(9, 0, round) % whole.size()] ^= static_cast<char>(1 << (round % 8));
    try {
      check_post(post_from_mail(damaged, "key"));
    } catch (const DataError&) {
    }
  }
}

}  // namespace
}  // namespace starling
