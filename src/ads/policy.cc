#include "ads/policy.h"

#include <fmt/format.h>

#include <array>
#include <sstream>
#include <unordered_map>

#include "ads/text_scan.h"

namespace starling {
namespace {

// Whole words, by topic. Proxies (a medicine, a feast, a school grade) stand beside the plain names.
struct TopicWords {
  const char* topic;
  const char* words;
};
constexpr std::array kWords = {
    TopicWords{"health",
               "health sick sickness ill illness disease doctor hospital patient patients cancer tumor tumour chemo "
               "diabetes diabetic insulin "
               "asthma hiv aids depression depressed anxiety bipolar adhd autism autistic therapy therapist "
               "suicide medication medicine "
               "prescription pills drug drugs rehab addict addiction alcoholic alcoholism obese obesity overweight "
               "diet pregnant pregnancy "
               "fertility ivf abortion maternity menopause disability disabled wheelchair deaf blind covid vaccine "
               "vaccinated viagra xanax "
               "prozac ozempic gesundheit krank krankheit krebs schwanger behinderung arzt santé malade maladie cancer "
               "enceinte salud enfermo "
               "enfermedad cáncer embarazada saúde doença câncer salute malattia malato incinta здоровье болезнь рак "
               "диабет беременность صحة مرض"},
    TopicWords{"religion",
               "religion religious god church mosque synagogue temple christian christians christianity catholic "
               "protestant evangelical baptist "
               "mormon muslim muslims islam islamic jew jews jewish judaism hindu hinduism buddhist buddhism sikh "
               "atheist atheism bible quran "
               "koran torah ramadan eid hijab halal kosher easter hanukkah passover diwali priest imam rabbi "
               "prayer pray worship faith "
               "kirche christ christen katholisch evangelisch jude juden jüdisch moslem muslime gott gebet église "
               "chrétien catholique musulman juif "
               "iglesia cristiano católico musulmán judío dios igreja cristão chiesa cristiano cattolico ebreo церковь "
               "христианин мусульманин еврей "
               "бог ислам دين مسلم مسيحي إسلام"},
    TopicWords{"politics",
               "politics political politician election elections vote voter voters voting ballot democrat democrats "
               "republican republicans gop "
               "liberal liberals conservative conservatives leftist socialist communist fascist nazi trump biden obama "
               "clinton putin brexit maga "
               "blm antifa congress senate parliament president campaigners union unions abortion gun guns immigration "
               "refugee refugees "
               "politik politisch wahl wahlen wähler partei afd spd cdu politique élection voter électeur gauche "
               "droite política elección "
               "elecciones votante eleição politica elezioni elettore политика выборы путин партия سياسة انتخابات"},
    TopicWords{"sexuality",
               "sex sexual sexuality gay gays lesbian lesbians bisexual queer lgbt lgbtq lgbtqia transgender trans "
               "homosexual heterosexual "
               "pride grindr porn escort dating nonbinary asexual schwul lesbisch homosexuell sexualität "
               "homosexuel lesbienne "
               "homosexual lesbiana gey omosessuale lesbica гей лесбиянка гомосексуал مثلي"},
    TopicWords{"ethnicity",
               "race racial racist ethnic ethnicity african hispanic latino latina latinx asian caucasian arab arabs "
               "roma gypsy indigenous aboriginal "
               "immigrant immigrants migrant migrants foreigner foreigners minority minorities nigger chinaman "
               "ausländer rasse ethnisch migranten "
               "türken race ethnique immigré étranger arabe raza étnico inmigrante extranjero gitano raça imigrante "
               "razza immigrato zingaro раса "
               "мигрант цыган عرق"},
    TopicWords{"minors",
               "minor minors child children kid kids teen teens teenage teenager teenagers tween toddler baby babies "
               "infant boy boys girl girls "
               "school schools schoolchildren preschool kindergarten pupil pupils underage youth adolescent "
               "adolescents kinder kind jugendliche "
               "schüler schule minderjährige enfant enfants adolescent école mineur niño niños niña adolescente "
               "escuela menor menores criança "
               "crianças escola bambino bambini ragazzi scuola ребёнок дети школа подросток أطفال مدرسة"},
};
// Parts of words, for hashtags that join several (#PrayForParis, #gaymen) and for endings.
constexpr std::array kParts = {
    TopicWords{
        "health",
        "cancer diabet depress vaccin pregnan disabilit mentalhealth covid krankheit 健康 疾病 癌 怀孕 病気 妊娠"},
    TopicWords{"religion",
               "christian muslim islam catholic jewish buddhis hindu prayfor church 宗教 基督 穆斯林 佛教 キリスト"},
    TopicWords{
        "politics",
        "election politic republican democrat socialis communis blacklivesmatter votefor maga2 政治 选举 選挙 共产党"},
    TopicWords{"sexuality",
               "lgbt homosex bisexu transgender lesbian gaymen gaypride gayrights loveislove 同性恋 同性愛 性取向"},
    TopicWords{"ethnicity", "ethnic racis blackpeople africanamerican whitepower immigrant 民族 种族 人種"},
    TopicWords{"minors", "children teenage underage kindergarten schoolkid 儿童 未成年 小学 子供 高校生"},
};
// Words that only together name a group.
constexpr std::array kPhrases = {
    TopicWords{"ethnicity",
               "black people|black women|black men|white people|white women|white men|people of color|people of "
               "colour|native american"},
    TopicWords{"minors", "under 18|under 16|under 13|high school|middle school|young people|families with"},
    TopicWords{"health", "weight loss|lose weight|mental illness|blood pressure|heart attack|special needs"},
    TopicWords{"politics", "left wing|right wing|pro life|pro choice|prime minister|white house"},
};

std::vector<std::string> split(const char* text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) {
    if (!part.empty()) parts.push_back(fold_text(part));
  }
  return parts;
}

const std::unordered_map<std::string, std::string>& word_topics() {
  static const auto kTopics = [] {
    std::unordered_map<std::string, std::string> topics;
    for (const TopicWords& row : kWords) {
      for (const std::string& word : split(row.words, ' ')) {
        topics.emplace(word, row.topic);
        topics.emplace(singular(word), row.topic);
      }
    }
    return topics;
  }();
  return kTopics;
}

struct TopicPart {
  std::string text, topic;
};
template <size_t N>
std::vector<TopicPart> parts_of(const std::array<TopicWords, N>& rows, char separator) {
  std::vector<TopicPart> parts;
  for (const TopicWords& row : rows) {
    for (const std::string& part : split(row.words, separator)) parts.push_back({part, row.topic});
  }
  return parts;
}

}  // namespace

std::optional<SensitiveTopic> find_sensitive_topic(std::string_view text) {
  static const std::vector<TopicPart> kPartList = parts_of(kParts, ' '), kPhraseList = parts_of(kPhrases, '|');
  std::string spaced = " ";
  for (const ScanToken& token : scan_text(text)) {
    const auto found = word_topics().find(token.text);
    const auto found_singular = word_topics().find(singular(token.text));
    if (found != word_topics().end()) return SensitiveTopic{found->second, token.raw};
    if (found_singular != word_topics().end()) return SensitiveTopic{found_singular->second, token.raw};
    for (const TopicPart& part : kPartList) {
      if (token.text.find(part.text) != std::string::npos) return SensitiveTopic{part.topic, token.raw};
    }
    if (token.type == ScanType::word || token.type == ScanType::number) spaced += token.text + " ";
  }
  for (const TopicPart& phrase : kPhraseList) {
    if (spaced.find(" " + phrase.text + " ") != std::string::npos) return SensitiveTopic{phrase.topic, phrase.text};
  }
  return std::nullopt;
}

std::optional<std::string> refuse_audience(std::string_view name, std::string_view query) {
  const std::string folded = fold_text(query);
  for (const std::string_view person : {"from:", "to:", "@"}) {
    if (folded.find(person) != std::string::npos)
      return fmt::format("`{}` targets single people; an audience is known only by what it writes about", person);
  }
  for (const std::string_view text : {name, query}) {
    if (const auto found = find_sensitive_topic(text)) {
      return fmt::format("targeting by {} is refused, included or excluded (“{}”)", found->topic, found->word);
    }
  }
  return std::nullopt;
}

std::vector<std::string> policy_problems(const Brief& brief, std::string_view headline, std::string_view body) {
  const std::string text = std::string(headline) + "\n" + std::string(body);
  std::vector<std::string> problems = hidden_text_problems(text);
  const std::string folded = fold_text(text);
  for (const std::string& phrase : brief.must) {
    if (folded.find(fold_text(phrase)) == std::string::npos)
      problems.push_back(fmt::format("the phrase “{}” is missing", phrase));
  }
  for (const std::string& phrase : brief.must_not) {
    if (folded.find(fold_text(phrase)) != std::string::npos)
      problems.push_back(fmt::format("the phrase “{}” is not allowed by the brief", phrase));
  }
  const int graphemes = count_graphemes(headline) + count_graphemes(body);
  if (graphemes > brief.max_graphemes)
    problems.push_back(fmt::format("{} characters; the brief allows {}", graphemes, brief.max_graphemes));
  if (fold_text(headline).empty()) problems.push_back("there is no headline");
  if (fold_text(body).empty()) problems.push_back("there is no body");
  if (const auto sensitive = find_sensitive_topic(text))
    problems.push_back(fmt::format("it speaks of {} (“{}”)", sensitive->topic, sensitive->word));
  return problems;
}

std::string ad_label(const Brief& brief) { return "AI-generated ad · paid for by " + brief.payer; }

}  // namespace starling
