"""Sentences written for these tests, as people write to each other: in no training data."""

from __future__ import annotations

from typing import Final

BY_LANGUAGE: Final = {
    "ar": ("متى يصل القطار القادم إلى المحطة؟", "أحتاج إلى هاتف جديد لأن القديم لا يعمل", "شكرا جزيلا على المساعدة"),
    "bg": (
        "Кога тръгва следващият влак за града?",
        "Телефонът ми пак не работи след обновяването",
        "Много ти благодаря за помощта",
    ),
    "ca": (
        "Quan surt el proper tren cap a la ciutat?",
        "El meu mòbil nou ja no funciona després de l'actualització",
        "Moltes gràcies per la teva ajuda",
    ),
    "cs": (
        "Kdy odjíždí příští vlak do města?",
        "Můj nový telefon po aktualizaci zase nefunguje",
        "Moc děkuju za tvoji pomoc, zítra se uvidíme",
    ),
    "da": (
        "Hvornår kører det næste tog ind til byen?",
        "Min nye telefon virker ikke efter opdateringen",
        "Jeg kan ikke huske hvad hun hedder, men hun var sød",
    ),
    "de": (
        "Wann fährt der nächste Zug in die Stadt?",
        "Mein neues Handy geht nach dem Update schon wieder nicht",
        "Vielen Dank für deine Hilfe",
    ),
    "en": (
        "When does the next train to the city leave?",
        "My new phone stopped working after the update",
        "Thanks a lot for helping me out yesterday",
    ),
    "es": (
        "¿Cuándo sale el próximo tren hacia la ciudad?",
        "Mi teléfono nuevo dejó de funcionar con la actualización",
        "Muchas gracias por ayudarme ayer",
    ),
    "et": (
        "Millal väljub järgmine rong linna?",
        "Minu uus telefon ei tööta pärast uuendust enam",
        "Suur aitäh sulle abi eest",
    ),
    "eu": (
        "Noiz irteten da hurrengo trena hirira?",
        "Nire telefono berria ez dabil eguneratu ondoren",
        "Eskerrik asko zure laguntzagatik",
    ),
    "fa": (
        "قطار بعدی کی به طرف شهر حرکت می‌کند؟",
        "گوشی جدید من بعد از به‌روزرسانی کار نمی‌کند",
        "خیلی ممنون که به من کمک کردی",
    ),
    "fi": (
        "Milloin seuraava juna kaupunkiin lähtee?",
        "Uusi puhelimeni ei toimi enää päivityksen jälkeen",
        "Kiitos paljon avustasi eilen",
    ),
    "fr": (
        "À quelle heure part le prochain train pour la ville ?",
        "Mon nouveau téléphone ne marche plus depuis la mise à jour",
        "Merci beaucoup pour ton aide",
    ),
    "he": ("מתי יוצאת הרכבת הבאה לעיר?", "הטלפון החדש שלי לא עובד אחרי העדכון", "תודה רבה על העזרה"),
    "hi": ("शहर के लिए अगली ट्रेन कब जाएगी?", "अपडेट के बाद मेरा नया फोन काम नहीं कर रहा है", "आपकी मदद के लिए बहुत धन्यवाद"),
    "hr": (
        "Kada kreće sljedeći vlak prema gradu?",
        "Moj novi mobitel opet ne radi nakon nadogradnje",
        "Puno ti hvala na pomoći, vidimo se idući tjedan",
    ),
    "hu": (
        "Mikor indul a következő vonat a városba?",
        "Az új telefonom megint nem működik a frissítés óta",
        "Nagyon köszönöm a segítségedet",
    ),
    "id": (
        "Kapan kereta berikutnya berangkat ke kota?",
        "Ponsel baru saya tidak bisa dipakai setelah diperbarui",
        "Terima kasih banyak atas bantuan kamu kemarin, gue seneng banget",
    ),
    "it": (
        "Quando parte il prossimo treno per la città?",
        "Il mio telefono nuovo non funziona più dopo l'aggiornamento",
        "Grazie mille per il tuo aiuto",
    ),
    "ja": (
        "次の電車は何時に出ますか？",
        "新しい携帯がアップデートの後で動かなくなった",
        "手伝ってくれて本当にありがとう",
    ),
    "kk": (
        "Қалаға келесі пойыз қашан жүреді?",
        "Жаңартудан кейін менің жаңа телефоным істемей қалды",
        "Көмегіңіз үшін көп рақмет",
    ),
    "ko": ("시내로 가는 다음 기차는 언제 출발해요?", "업데이트하고 나서 새 휴대폰이 안 돼요", "도와줘서 정말 고마워"),
    "lt": (
        "Kada išvyksta kitas traukinys į miestą?",
        "Mano naujas telefonas po atnaujinimo vėl neveikia",
        "Labai ačiū tau už pagalbą",
    ),
    "ms": (
        "Bilakah kereta api seterusnya bertolak ke bandar?",
        "Telefon baharu saya tak boleh guna selepas dikemas kini",
        "Terima kasih kerana sudi membantu saya semalam, awak memang baik",
    ),
    "nb": (
        "Når går det neste toget inn til byen?",
        "Den nye telefonen min virker ikke etter oppdateringen",
        "Jeg vet ikke hva hun heter, men hun var hyggelig",
    ),
    "nl": (
        "Wanneer vertrekt de volgende trein naar de stad?",
        "Mijn nieuwe telefoon doet het niet meer na de update",
        "Heel erg bedankt voor je hulp",
    ),
    "pl": (
        "Kiedy odjeżdża następny pociąg do miasta?",
        "Mój nowy telefon po aktualizacji znowu nie działa",
        "Bardzo ci dziękuję za pomoc",
    ),
    "pt": (
        "Quando sai o próximo comboio para a cidade?",
        "Meu celular novo parou de funcionar depois da atualização",
        "Muito obrigado pela sua ajuda ontem",
    ),
    "ro": (
        "Când pleacă următorul tren spre oraș?",
        "Telefonul meu nou nu mai merge după actualizare",
        "Mulțumesc mult pentru ajutorul tău",
    ),
    "ru": (
        "Когда отправляется следующий поезд в город?",
        "Мой новый телефон опять не работает после обновления",
        "Большое спасибо тебе за помощь",
    ),
    "sk": (
        "Kedy odchádza ďalší vlak do mesta?",
        "Môj nový telefón po aktualizácii zase nefunguje",
        "Veľmi pekne ti ďakujem za pomoc, uvidíme sa zajtra",
    ),
    "sl": (
        "Kdaj odpelje naslednji vlak v mesto?",
        "Moj novi telefon po posodobitvi spet ne deluje",
        "Najlepša hvala za tvojo pomoč",
    ),
    "sr": (
        "Када полази следећи воз за град?",
        "Мој нови телефон поново не ради после ажурирања",
        "Uvek se lepo osećam kad pođem u Beograd, videćemo se sledeće nedelje",
    ),
    "sv": (
        "När går nästa tåg in till staden?",
        "Min nya telefon fungerar inte efter uppdateringen",
        "Tack så mycket för hjälpen igår",
    ),
    "tr": (
        "Şehre giden bir sonraki tren ne zaman kalkıyor?",
        "Yeni telefonum güncellemeden sonra yine çalışmıyor",
        "Yardımın için çok teşekkür ederim",
    ),
    "uk": (
        "Коли вирушає наступний потяг до міста?",
        "Мій новий телефон знову не працює після оновлення",
        "Дуже дякую тобі за допомогу",
    ),
    "vi": (
        "Khi nào chuyến tàu tiếp theo vào thành phố khởi hành?",
        "Điện thoại mới của tôi không chạy sau khi cập nhật",
        "Cảm ơn bạn rất nhiều vì đã giúp đỡ",
    ),
    "war": (
        "Maupay nga aga ha iyo ngatanan",
        "Diin ka makadto buwas han aga?",
        "Damo nga salamat han imo bulig ha akon",
    ),
}

NO_LANGUAGE: Final = ("", "   ", "😂😂😂", "!!! ...", "1234 567", "@someone https://example.org/x", "🎉 #")

OTHER_LANGUAGES: Final = (
    "Πότε φεύγει το επόμενο τρένο για την πόλη;",
    "რა დროს გადის შემდეგი მატარებელი?",
    "รถไฟเที่ยวต่อไปออกกี่โมง",
    "Cikos atiet nākamais vilciens uz pilsētu, paldies par palīdzību",
    "Pryd mae'r trên nesaf yn gadael am y ddinas?",
    "Hvenær fer næsta lest inn í borgina og hvað kostar miðinn þangað?",
    "அடுத்த ரயில் எப்போது புறப்படும்?",
    "下一班火车几点出发？我的新手机又坏了",
)

MOODS: Final = {
    "positive": (
        ("en", "I love this new phone, it is amazing!"),
        ("en", "Best day ever, thank you so much everyone"),
        ("en", "What a wonderful surprise, I'm so happy"),
        ("de", "Ich liebe dich, das ist wunderbar!"),
        ("es", "¡Me encanta, es maravilloso!"),
        ("fr", "C'est magnifique, je t'aime !"),
        ("it", "Grazie mille, è bellissimo!"),
        ("pt", "Que maravilha, eu te amo!"),
    ),
    "negative": (
        ("en", "This is terrible, the worst update ever"),
        ("en", "I hate waiting, what a horrible service"),
        ("en", "So sad and angry about this, it is a disaster"),
        ("de", "Ich hasse dich, verschwinde!"),
        ("es", "¡Te odio, maldito idiota!"),
        ("fr", "Je te déteste, espèce d'idiot !"),
        ("it", "Ti odio, sei un maledetto bastardo"),
        ("pt", "Eu te odeio, seu maldito idiota!"),
    ),
    "neutral": (
        ("en", "The town lies on the river, about forty kilometres north of the capital."),
        ("en", "The committee will meet on Tuesday at the office."),
        ("de", "Der Ort liegt im Norden der Provinz an einem Fluss."),
        ("es", "El municipio está situado en el norte de la provincia."),
        ("fr", "La commune est située dans le nord du département."),
        ("it", "Il comune si trova nella parte settentrionale della provincia."),
        ("pt", "O município está localizado no norte do estado."),
        ("sv", "Orten ligger i den norra delen av kommunen."),
    ),
}

# Everyday Waray, of which no collection has any; written beside what is trained on, and by the same people, so what is
# right of these is the best case.
WARAY: Final = (
    "Maupay nga aga ha iyo ngatanan.",
    "Maupay nga gab-i, Maria.",
    "Kumusta ka na?",
    "Maupay man ako, salamat.",
    "Ano an imo ngaran?",
    "An akon ngaran hi Pedro.",
    "Taga diin ka?",
    "Taga Tacloban ako.",
    "Diri ako maaram.",
    "Waray ako kwarta.",
    "Hain an merkado?",
    "Pira ini?",
    "Mahal hin duro.",
    "Karuyag ko uminom hin tubig.",
    "Nagkaon na kami hin paniaga.",
    "Mabaysay an imo bado.",
    "Hinihigugma ko ikaw.",
    "Makadto ako ha eskwelahan buwas.",
    "Hi nanay nagluluto ha kusina.",
    "Hira nagpapahuway ha balay.",
    "Ayaw pagkanta, nangangaturog an mga bata.",
    "An ayam nakakita hin misay.",
    "Mauran ba niyan?",
    "Mapaso an adlaw yana nga adlaw.",
    "Nawara an akon yabi.",
    "Hin-o an nagbuhat hini?",
    "Ngain ka?",
    "Hi Tom waray ka kanhi kakulop.",
    "Damo an isda ha dagat.",
    "Nag-uusahan hiya ha iya balay.",
    "Waray ko hiya hikit-i.",
    "Pwede ko ba gamiton an imo telepono?",
    "Nag-aaram ako hin Iningles.",
    "Maluya na an akon lawas.",
    "Tabangi ako, alayon.",
    "Pasayloa ako, waray ko tuyoa.",
    "Igtaog ha akon an asin.",
    "Kinahanglan ko pumalit hin bag-o nga sapatos.",
    "Masiring ako ha iya hin kamatuoran.",
    "Makuri magtrabaho ha gab-i.",
    "Naghihinulat kami ha imo.",
    "An amon amay nagtatrabaho ha uma.",
    "Nalipay gud ako nga nakilala ko ikaw.",
    "Upod ka ha akon?",
    "Gintagan niya ako hin libro.",
    "Waray sapayan.",
    "Mag-iha ka na ba dinhi?",
    "An bulan malamrag yana nga gab-i.",
    "Nahadlok hiya ha dagku nga balud.",
    "Damo nga salamat ha iyo bulig.",
    "Hino an imo kaupod ha balay?",
    "Marasa an iya linuto nga isda.",
    "Napulo ka tuig na ako.",
    "Magkikita kita utro ha sunod nga semana.",
    "Diri ako nakakasabot han imo ginsisiring.",
    "Nagbasa hiya han surat nga tikang ha iya bugto.",
    "An mga tawo ha bungto naglilipay ha piyesta.",
    "Masakit an akon ulo.",
    "Inaabat ako hin kagutom.",
    "Kinuha niya an tanan nga pan.",
)
